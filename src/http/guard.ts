/** Who may ask: keys, the Host and Origin headers, and the size of a body. */
import type { MiddlewareHandler } from "hono";
import { isLoopback } from "../core/config.ts";
import type { Config, ConfigKey, KeyScope } from "../core/config-types.ts";
import { SynapticError } from "../core/errors.ts";
import { readBytes } from "./bytes.ts";

/** Long enough for a dozen images in base64. */
export const MAX_BODY_BYTES = 32 * 1024 ** 2;

const BEARER = /^Bearer\s+(\S+)$/i;

export interface KeyVariables {
  /** Name of the key that a request came with; absent where the config has none. */
  key?: string;
}

/** No name that a key of the config can have, since it has a space. */
const OWN_KEY = "the SYNAPTIC_API_KEY";

/** Refuses requests without a key of that scope, where the config has keys; tells its name as the variable `key`. Only
 *  hashes are compared. */
export function requireKey({ keys, apiKey }: Config, scope: KeyScope): MiddlewareHandler<{ Variables: KeyVariables }> {
  const known = new Map<string, ConfigKey>(keys.map((key) => [key.hash, key]));
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
    const key = hash === (await own) ? { name: OWN_KEY, scopes: ALL_SCOPES } : known.get(hash);
    if (!key) throw new SynapticError("unauthorized", "Incorrect API key provided");
    if (!key.scopes.includes(scope) && !key.scopes.includes("admin")) {
      throw new SynapticError("forbidden", `Cannot ${context.req.method} ${context.req.path} with this key`, {
        hint: `give it the scope "${scope}" under synaptic.keys`,
      });
    }
    context.set("key", key.name);
    await next();
  };
}

const ALL_SCOPES: readonly KeyScope[] = ["use", "admin"];

async function hashOf(token: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(token));
  return `sha256:${new Uint8Array(digest).toHex()}`;
}

/** On loopback, a foreign Host header means that a web page has pointed its own name at this machine (DNS rebinding). */
export function requireLocalHost({ listen }: Config): MiddlewareHandler {
  if (!isLoopback(listen.host)) return (_, next) => next();
  return async (context, next) => {
    const host = context.req.header("host") ?? "localhost";
    if (!isLocalName(host) && !(listen.hosts ?? []).includes(nameOf(host))) {
      throw new SynapticError(
        "forbidden",
        `Cannot answer for the host '${host}': this synaptic serves this machine only`,
        { hint: "add the name to synaptic.listen.hosts, or listen on another address (synaptic.listen.host)" },
      );
    }
    await next();
  };
}

/** How containers call the machine that they run on: no name that anybody else could own. */
const DOCKER_HOST = "host.docker.internal";

function isLocalName(host: string): boolean {
  const name = nameOf(host);
  return name === "0.0.0.0" || name === DOCKER_HOST || isLoopback(name);
}

function nameOf(host: string): string {
  return host
    .replace(/:\d+$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .toLowerCase();
}

/** A web page of somebody else's may not ask, not even without reading the answer: a model would be loaded for it. */
export function requireOwnOrigin(): MiddlewareHandler {
  return async (context, next) => {
    const origin = context.req.header("origin");
    if (origin !== undefined && allowedOrigin(origin) === null && !isSameHost(origin, context.req.header("host"))) {
      throw new SynapticError("forbidden", `Cannot answer a web page of '${origin}'`, {
        hint: "pages of this machine and desktop apps may ask; others need a server of their own in between",
      });
    }
    await next();
  };
}

function isSameHost(origin: string, host: string | undefined): boolean {
  return host !== undefined && URL.parse(origin)?.host === host.toLowerCase();
}

const APPS = /^(?:app|file|tauri|vscode-webview|vscode-file):\/\//;

/** Web pages of this machine and desktop apps may ask from a browser; the same list as Ollama's (facts/clients.md 1c). */
export function allowedOrigin(origin: string): string | null {
  if (APPS.test(origin)) return origin;
  const url = URL.parse(origin);
  return url && /^https?:$/.test(url.protocol) && isLocalName(url.host) ? origin : null;
}

/** Reads a body of bounded size. @throws SynapticError `body_too_large`. */
export async function readBody(request: Request): Promise<Uint8Array> {
  const announced = request.headers.get("content-length");
  const bytes = await (announced === null
    ? readBytes(request.body, { maxBytes: MAX_BODY_BYTES })
    : readAnnounced(request, Number(announced)));
  if (bytes) return bytes;
  throw new SynapticError("body_too_large", `The request body is larger than ${MAX_BODY_BYTES / 1024 ** 2} MiB`);
}

/** HTTP holds the body to the announced length; at one go it takes 0.03 ms less than chunk by chunk. */
async function readAnnounced(request: Request, size: number): Promise<Uint8Array | null> {
  return size > MAX_BODY_BYTES ? null : new Uint8Array(await request.arrayBuffer());
}
