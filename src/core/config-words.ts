/** Patterns and expectations that files, flags and variables share: hosts, ports, endpoints, sizes. Pure. */
import { z } from "zod";
import type { Path } from "./config-problems.ts";

/** llama.cpp's rpc-server listens here unless told otherwise. */
export const DEFAULT_RPC_PORT = 50052;

const IPV4 = String.raw`(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?=\d)|(?![\d.]))){4}`;
/** Not digits and dots only: `10.9.66` or `10.9.66.400` is a mistyped address, no name. */
const NAME = String.raw`(?![\d.]+$)[A-Za-z0-9_](?:[A-Za-z0-9._\-]{0,251}[A-Za-z0-9_])?`;
const HOST_PATTERN = new RegExp(String.raw`^(?!0\.0\.0\.0$)(?:${IPV4}|${NAME})$`);
const LISTEN_PATTERN = new RegExp(`^(?:${IPV4}|${NAME}|[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)$`);

export const HOST_EXPECTED = "a host name or IPv4 address alone";
const LISTEN_EXPECTED = "a host name or IP address to listen on";

export const hostSchema = z.string({ error: HOST_EXPECTED }).regex(HOST_PATTERN, { error: HOST_EXPECTED });
export const listenHostSchema = z.string({ error: LISTEN_EXPECTED }).regex(LISTEN_PATTERN, { error: LISTEN_EXPECTED });

/** A whole number within bounds, both included. */
export function wholeNumber(min: number, max: number, unit = ""): z.ZodInt {
  const error = `a whole number ${unit}${unit ? " " : ""}from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}

export const portSchema = wholeNumber(1, 65_535);
export const flagSchema = z.boolean({ error: "true or false" });
export const pathSchema = z.string({ error: "a path" }).min(1, { error: "a path" });

/** A size as people write it, such as `12GiB`. */
export const MEMORY_PATTERN = /^\s*\d+(?:\.\d+)?\s*(?:[kmgtKMGT]?[iI]?[bB]?)\s*$/;

/** What is wrong with a host, and what to write instead; undefined when there is nothing to say beyond the expectation. */
export function hostHint(value: unknown): string | undefined {
  if (typeof value !== "string" || value === "") return undefined;
  const scheme = /^[A-Za-z][\w+.-]*:\/\/([^/]*)/.exec(value);
  if (scheme)
    return `write ${scheme[1] || "the host"} without a scheme: backends speak llama.cpp's own protocol, not HTTP`;
  if (/^\[|:.*:/.test(value)) return "llama.cpp's RPC has no IPv6: use an IPv4 address or a name that resolves to one";
  const withPort = /^([^:]+):(\d+)$/.exec(value);
  if (withPort) return `write the port apart: "host": "${withPort[1]}", "port": ${withPort[2]}`;
  if (value === "0.0.0.0")
    return "0.0.0.0 is an address to listen on: write the one that this machine reaches the backend at";
  if (/^[\d.]+$/.test(value)) return "an IPv4 address has four numbers from 0 to 255";
  return undefined;
}

/** Advice for a wrong value in the file, chosen by where it stands. */
export function fileHint(path: Path, value: unknown): string | undefined {
  const last = path.at(-1);
  if (last === "host" && path[0] === "rpc_backends") return hostHint(value);
  if (last === "endpoint") return endpointHint(value);
  if (path[0] === "rpc_backends" && path.length === 1 && value === null)
    return "without backends, leave the key out or write []";
  if (path[0] === "rpc_backends" && path.length === 2 && typeof value === "string") return stringBackendHint(value);
  if (last === "port" && typeof value === "string" && /^\d+$/.test(value)) return `write ${value} without quotes`;
  if (last === "hash") return "make a key and its hash with: KEY=$(openssl rand -hex 32); printf %s $KEY | sha256sum";
  return undefined;
}

function stringBackendHint(value: string): string {
  const read = readEndpoint(value);
  const example = read.ok ? read : { host: "10.0.0.1", port: DEFAULT_RPC_PORT };
  return `write {"host": "${example.host}", "port": ${example.port}}`;
}

function endpointHint(value: unknown): string | undefined {
  return typeof value === "string" && !/^[^:]+:\d+$/.test(value) ? hostHint(value) : undefined;
}

export type EndpointReading =
  | { readonly ok: true; readonly host: string; readonly port: number }
  | { readonly ok: false; readonly expected: string; readonly hint: string | undefined };

export const ENDPOINT_EXPECTED = 'host:port, such as "10.0.0.1:50052"';

/** Reads `host` or `host:port` (50052 when there is none). */
export function readEndpoint(text: string): EndpointReading {
  const [, host = text, portText] = /^([^:]+):(\d+)$/.exec(text) ?? [];
  if (!hostSchema.safeParse(host).success) return { ok: false, expected: ENDPOINT_EXPECTED, hint: hostHint(host) };
  const port = portText === undefined ? DEFAULT_RPC_PORT : Number(portText);
  if (portSchema.safeParse(port).success) return { ok: true, host, port };
  return { ok: false, expected: "a port from 1 to 65535", hint: undefined };
}
