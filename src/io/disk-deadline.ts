/** Frees whoever waits for a disk that does not answer: a read of a network share that went away cannot be called back. */
import { SynapticError } from "../core/errors.ts";

const DEADLINE_MS = 60_000;

/**
 * The result of `work`, unless the signal or the deadline (60 s) comes first; then `work` goes on unwatched.
 * @throws SynapticError `model_unreadable` at the deadline; the signal's reason when it was aborted
 */
export async function withinDeadline<T>(
  path: string,
  work: (signal: AbortSignal) => Promise<T>,
  { signal }: { signal: AbortSignal },
): Promise<T> {
  signal.throwIfAborted();
  const late = new SynapticError(
    "model_unreadable",
    `Cannot read ${path}: no answer from the disk within ${DEADLINE_MS / 1000} s`,
    {
      hint: "check the disk or the network share",
      cause: new Error("no answer in time"),
    },
  );
  const timer = new AbortController();
  const timeout = setTimeout(() => timer.abort(late), DEADLINE_MS);
  const either = AbortSignal.any([signal, timer.signal]);
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = () => reject(either.reason);
  either.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([work(either), promise]);
  } finally {
    clearTimeout(timeout);
    either.removeEventListener("abort", stop);
  }
}
