/** Who may ask: keys, the Host header, and the size of a body. */
import type { MiddlewareHandler } from "hono";
import type { Config, KeyScope } from "../core/config-types.ts";
import { SynapticError } from "../core/errors.ts";

/** Long enough for a dozen images in base64. */
export const MAX_BODY_BYTES = 32 * 1024 ** 2;

const BEARER = /^Bearer\s+(\S+)$/i;
const LOCAL_NAMES = new Set(["localhost", "127.0.0.1", "[::1]", "0.0.0.0"]);

/** Refuses requests without a key of that scope, where the config has keys. Only hashes are compared. */
export function requireKey({ keys, apiKey }: Config, scope: KeyScope): MiddlewareHandler {
  const known = keys.filter(({ scopes }) => scopes.includes(scope) || scopes.includes("admin"));
  const allowed = new Set<string>(known.map(({ hash }) => hash));
  const own = apiKey === null ? null : hashOf(apiKey);
  if (keys.length === 0 && own === null) return (_, next) => next();
  return async (context, next) => {
    const given = BEARER.exec(context.req.header("authorization") ?? "")?.[1] ?? context.req.header("x-api-key");
    if (!given) {
      throw new SynapticError("unauthorized", "You didn't provide an API key", {
        hint: "send Authorization: Bearer with a key of this synaptic's config",
      });
    }
    const hash = await hashOf(given);
    if (!allowed.has(hash) && hash !== (await own)) {
      throw new SynapticError("unauthorized", "Incorrect API key provided");
    }
    await next();
  };
}

async function hashOf(token: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(token));
  return `sha256:${new Uint8Array(digest).toHex()}`;
}

/** On loopback, a foreign Host header means that a web page has pointed its own name at this machine (DNS rebinding). */
export function requireLocalHost({ listen }: Config): MiddlewareHandler {
  if (!LOCAL_NAMES.has(listen.host) || listen.host === "0.0.0.0") return (_, next) => next();
  return async (context, next) => {
    const host = (context.req.header("host") ?? "localhost").replace(/:\d+$/, "");
    if (!LOCAL_NAMES.has(host)) {
      throw new SynapticError(
        "forbidden",
        `Cannot answer for the host '${host}': this synaptic serves this machine only`,
        {
          hint: "listen on another address (synaptic.listen.host) to be reached by name",
        },
      );
    }
    await next();
  };
}

const LOCAL_ORIGIN =
  /^(https?:\/\/(localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(:\d+)?|(app|file|tauri|vscode-webview|vscode-file):\/\/.*)$/;

/** Web pages of this machine and desktop apps may ask from a browser; the same list as Ollama's (facts/clients.md 1c). */
export function allowedOrigin(origin: string): string | null {
  return LOCAL_ORIGIN.test(origin) ? origin : null;
}

/** Reads a body of bounded size. @throws SynapticError `body_too_large`. */
export async function readBody(request: Request): Promise<Uint8Array> {
  const tooLarge = () =>
    new SynapticError("body_too_large", `The request body is larger than ${MAX_BODY_BYTES / 1024 ** 2} MiB`);
  if (Number(request.headers.get("content-length") ?? 0) > MAX_BODY_BYTES) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw tooLarge();
    chunks.push(chunk);
  }
  return chunks.length === 1 && chunks[0] ? chunks[0] : concat(chunks, size);
}

function concat(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
