/** The listener. */
import { SynapticError } from "../core/errors.ts";

export interface ListenOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly fetch: (request: Request) => Response | Promise<Response>;
}

export interface Listener {
  readonly url: string;
  readonly port: number;
  /** Refuses new connections and waits for open ones; after `graceMs` it cuts them. */
  stop(graceMs: number): Promise<void>;
}

/** Bodies are limited by the app, with an answer of ours; Bun's own limit only says 413 and closes. */
const MAX_BODY_BYTES = 1024 ** 3;

/** @throws SynapticError `config_invalid` when the address cannot be listened on. */
export function listen({ host, port, fetch }: ListenOptions): Listener {
  try {
    // idleTimeout 0: Bun would cut a quiet stream after 10 s; unfinished headers are still cut (facts/bun.md 3b).
    const server = Bun.serve({
      hostname: host,
      port,
      fetch,
      idleTimeout: 0,
      maxRequestBodySize: MAX_BODY_BYTES,
      error: () => new Response(null, { status: 500 }),
    });
    const shown = host.includes(":") ? `[${host}]` : host;
    return {
      url: `http://${shown}:${server.port}`,
      port: server.port ?? port,
      async stop(graceMs) {
        const cut = setTimeout(() => void server.stop(true), graceMs);
        await server.stop();
        clearTimeout(cut);
      },
    };
  } catch (error) {
    throw new SynapticError("config_invalid", `Cannot listen on ${host}:${port}: ${reason(error)}`, {
      hint: "is synaptic running already (`synaptic status`)? else choose another port with --port",
      cause: error,
    });
  }
}

function reason(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return /EADDRINUSE|in use/i.test(text) ? "the port is in use" : text;
}
