/** Runs something again and again. */
import type { Clock } from "../engine/ports.ts";

/** After each `ms`, until what it returns is called. */
export function every(clock: Clock, ms: number, run: () => void): () => void {
  let cancel = () => {};
  let isStopped = false;
  const again = (): void => {
    cancel = clock.after(ms, () => {
      run();
      if (!isStopped) again();
    });
  };
  again();
  return () => {
    isStopped = true;
    cancel();
  };
}
