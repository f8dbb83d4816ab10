/** Addresses of Ollama nodes, read as Ollama reads OLLAMA_HOST: a host, host:port or a URL. Pure. */

export type NodeUrlReading =
  | { readonly ok: true; readonly url: string }
  | { readonly ok: false; readonly hint: string | undefined };

export const NODE_EXPECTED = 'the address of an Ollama, such as "http://10.0.0.5:11434"';

const OLLAMA_PORT = 11_434;
const LONGEST = 2_048;
const SCHEME = /^([A-Za-z][\w+.-]*):\/\//;
/** Addresses to listen on, which nobody can be reached at. */
const ANY_HOST = /^(?:0\.0\.0\.0|\[::\]|\[::0\])$/;

/** Without a scheme the port is 11434 when left out, with one it is the scheme's own, as in Ollama; quotes and blanks
 *  around it do not count; a listen address (`0.0.0.0`) is read as this machine's own. The result ends without a slash. */
export function readNodeUrl(text: string): NodeUrlReading {
  const given = text
    .trim()
    .replace(/^["']+|["']+$/g, "")
    .trim();
  if (given === "" || given.length > LONGEST) return { ok: false, hint: undefined };
  const scheme = SCHEME.exec(given)?.[1]?.toLowerCase();
  if (scheme !== undefined && scheme !== "http" && scheme !== "https") {
    return { ok: false, hint: `${scheme} is no way to reach an Ollama: write http:// or https://` };
  }
  const full = scheme === undefined ? `http://${bracketed(given)}` : given;
  const parsed = parse(full);
  if (!parsed) return { ok: false, hint: undefined };
  if (parsed.username !== "" || parsed.password !== "") {
    return { ok: false, hint: "leave user name and password out: addresses are shown in the status" };
  }
  if (parsed.search !== "" || parsed.hash !== "") return { ok: false, hint: "leave out what follows ? or #" };
  const host = ANY_HOST.test(parsed.hostname) ? "127.0.0.1" : parsed.hostname;
  // URL makes an address of `10.9.66` as well: a slip.
  if (/^[\d.]+$/.test(parsed.hostname) && !full.includes(`//${parsed.hostname}`)) {
    return { ok: false, hint: "an IPv4 address has four numbers from 0 to 255" };
  }
  // URL leaves out the port that goes with the scheme, and an IPv6 address has colons of its own.
  const hasPort = parsed.port !== "" || /^[^/]*:\d+(?:\/|$)/.test(full.replace(SCHEME, "").replace(/^\[.*\]/, ""));
  const port = parsed.port !== "" ? `:${parsed.port}` : scheme === undefined && !hasPort ? `:${OLLAMA_PORT}` : "";
  return { ok: true, url: `${parsed.protocol}//${host}${port}${parsed.pathname.replace(/\/+$/, "")}` };
}

/** `:11434` names a port only; an IPv6 address alone wants brackets in a URL. */
function bracketed(text: string): string {
  if (text.startsWith(":") && !text.startsWith("::")) return `127.0.0.1${text}`;
  return /^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*$/.test(text) ? `[${text}]` : text;
}

function parse(text: string): URL | null {
  if (/[\s\\]/.test(text) || !URL.canParse(text)) return null;
  const url = new URL(text);
  // `http:///path` and its like.
  return url.hostname === "" ? null : url;
}

/** The host of a node's URL, without the brackets of an IPv6 address. */
export function hostOfNode(url: string): string {
  return new URL(url).hostname.replace(/^\[(.*)\]$/, "$1");
}

/** The port of a node's URL. */
export function portOfNode(url: string): number {
  const { port, protocol } = new URL(url);
  return port === "" ? (protocol === "https:" ? 443 : 80) : Number(port);
}
