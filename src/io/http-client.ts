/** Requests to upstreams: bytes as they are, no time-out but the caller's signal. */

export interface UpstreamRequest {
  readonly method: "GET" | "POST" | "DELETE";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  readonly signal: AbortSignal;
}

/** Bun's fetch would decompress and still announce the encoding, and follow redirects (facts/bun.md 3c, 3d). */
export function requestUpstream(url: string, { method, headers, body, signal }: UpstreamRequest): Promise<Response> {
  return fetch(url, {
    method,
    headers: { "accept-encoding": "identity", ...headers },
    ...(body !== undefined && { body }),
    signal,
    decompress: false,
    redirect: "manual",
    // One connection per request: an idle one holds a thread of llama-server's for 5 s, so that 8 of them, left by the
    // requests before, kept the next ones waiting for 5 s (measured with 0.7.0). A new one costs 0.05 ms.
    keepalive: false,
    // Bun's own option: off, since a prompt may take longer than any default; the supervisor's rules decide.
    timeout: false,
  });
}
