/** What the commands need of the process they run in; main.ts provides it. Types only. */
import type { Config, ConfigFlags } from "../core/config-types.ts";
import type { Ports } from "../engine/ports.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  readonly fetch: (request: Request) => Response | Promise<Response>;
}

export interface Listener {
  readonly url: string;
  stop(graceMs: number): Promise<void>;
}

export interface LoadConfigOptions {
  /** As typed after `--config`; true when it was given without a value. */
  readonly path: string | true | undefined;
  readonly flags: ConfigFlags;
  readonly serving: boolean;
}

export interface Host {
  readonly version: string;
  /** The answer: stdout. */
  write(text: string): void;
  /** The talk: stderr. */
  talk(text: string): void;
  loadConfig(options: LoadConfigOptions): Promise<Config>;
  /** A path as typed, `~/` included. */
  absolute(path: string): string;
  ports(config: Config, level: LogLevel): Ports;
  /** @throws SynapticError `config_invalid` when the address cannot be listened on. */
  listen(options: ListenOptions): Listener;
  /** Fires at the first SIGINT or SIGTERM; a second one ends the process. */
  readonly stopping: AbortSignal;
  saveReport(path: string, text: string): Promise<void>;
}
