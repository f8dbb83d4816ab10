/** What the log says of a coordinator's life. */
import { describeError, SynapticError } from "../core/errors.ts";
import type { Lifecycle } from "../core/lifecycle-types.ts";
import { formatDuration } from "../core/units.ts";
import type { Logger } from "./ports.ts";

export interface Change {
  readonly model: string;
  readonly before: Lifecycle;
  readonly state: Lifecycle;
  /** How long the state before lasted. */
  readonly lastedMs: number;
}

export function tellState(log: Logger, { model, before, state, lastedMs }: Change): void {
  log.debug(`coordinator ${state.tag}`, { model });
  if (state.tag === "failed") log.error(describeError(state.cause), { model });
  if (state.tag === "stopping" && state.retry !== null && state.cause) {
    log.warn(`${state.cause.message}; trying again`, { model });
  }
  if (state.tag === "ready" && before.tag === "starting") {
    log.info(`ready: ${model}`, { took: formatDuration(lastedMs) });
  }
}

/** A failure that its state does not tell of, since it is not the end of it. */
export function tellBlame(log: Logger, state: Lifecycle, cause: SynapticError): void {
  if (state.tag !== "failed") log.warn(`${cause.message}${state.tag === "starting" ? "; trying again" : ""}`);
}

/** Why an unload did not come about. */
export function overtaken(model: string): SynapticError {
  return new SynapticError("too_busy", `Cannot unload ${model}: a new request came before the last one had ended`, {
    hint: "try again when it is idle",
  });
}
