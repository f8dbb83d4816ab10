/** Asks a synaptic that runs already: its snapshot, its plans, its API. */
import type { Config } from "../core/config-types.ts";
import { SynapticError } from "../core/errors.ts";
import type { Snapshot } from "../core/snapshot.ts";
import type { HttpPort } from "../engine/ports.ts";

export interface Client {
  readonly url: string;
  status(): Promise<Snapshot>;
  get(path: string): Promise<unknown>;
  /** Any status is returned. */
  post(path: string, body: unknown, signal: AbortSignal): Promise<Response>;
}

/** A plan probes the backends first, dead ones among them, and reads the model's header. */
const ANSWER_MS = 30_000;
/** A synaptic on loopback that runs answers within a few milliseconds. */
const HELLO_MS = 1_500;

/** Where a config says that synaptic listens; an address for all interfaces is asked on loopback. */
export function listenUrl({ listen: { host, port } }: Config): string {
  const reachable = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  return `http://${reachable.includes(":") ? `[${reachable}]` : reachable}:${port}`;
}

export function createClient(http: HttpPort, url: string, apiKey: string | null): Client {
  const headers = { "content-type": "application/json", ...(apiKey !== null && { authorization: `Bearer ${apiKey}` }) };
  const get = async (path: string): Promise<unknown> => {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const response = await http.request(`${url}${path}`, { method: "GET", headers, signal });
    return await readAnswer(url, response);
  };
  return {
    url,
    get,
    // Our own server's answer, of the version that this file was built with or near it: rendered, never decided upon.
    status: async () => (await get("/synaptic/status")) as Snapshot,
    post: (path, body, signal) =>
      http.request(`${url}${path}`, { method: "POST", headers, body: JSON.stringify(body), signal }),
  };
}

/** A client of the synaptic that runs at the configured address, or null when nobody answers there.
 *  @throws SynapticError when somebody does who is no synaptic, refuses us, or only takes the connection. */
export async function findRunning(http: HttpPort, config: Config): Promise<Client | null> {
  const url = listenUrl(config);
  if (config.listen.port === 0) return null;
  const signal = AbortSignal.timeout(HELLO_MS);
  try {
    const response = await http.request(`${url}/healthz`, { method: "GET", headers: {}, signal });
    const text = await response.text();
    if (response.status === 200 && text.includes('"synaptic"')) return createClient(http, url, config.apiKey);
  } catch {
    if (!signal.aborted) return null;
    // Perhaps a synaptic that was stopped or is overloaded: what it holds must not be probed by us as well.
    throw new SynapticError("upstream_timeout", `Cannot ask ${url}: no answer within ${HELLO_MS / 1000} s`, {
      hint: "see what listens there; with --port 0 this command asks nobody and probes the backends itself",
    });
  }
  throw new SynapticError("config_invalid", `Cannot ask ${url}: what answers there is not synaptic`, {
    hint: "set synaptic.listen or --port to where synaptic runs",
  });
}

/** @throws SynapticError with the words of the answer when it is an error. */
export async function readAnswer(url: string, response: Response): Promise<unknown> {
  const text = await response.text();
  if (response.ok) return JSON.parse(text);
  if (response.status === 401) {
    throw new SynapticError("unauthorized", `Cannot ask ${url}: it wants a key`, { hint: "set SYNAPTIC_API_KEY" });
  }
  throw new SynapticError("upstream_error", messageOf(text) ?? `${url} answered ${response.status}`);
}

function messageOf(text: string): string | null {
  const match = /"(?:message|error)":\s*"((?:[^"\\]|\\.)*)"/.exec(text);
  return match?.[1] === undefined ? null : String(JSON.parse(`"${match[1]}"`));
}
