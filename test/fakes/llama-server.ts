/** A llama-server that answers byte for byte as a test says, and remembers what it was asked. */
import type { Socket } from "bun";

/** One request as it came. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: Headers;
  readonly body: Uint8Array;
  /** Fires when the client closed the connection before the answer's end. */
  readonly left: AbortSignal;
}

/** Each write is one write to the socket; it resolves when the kernel has taken all of it, or the client has left. */
export interface Reply {
  readonly asked: Asked;
  /** Status line and headers of a chunked answer. */
  head(status?: number, headers?: Readonly<Record<string, string>>): Promise<void>;
  /** One HTTP chunk. */
  chunk(bytes: string | Uint8Array): Promise<void>;
  /** Bytes as they are, whatever they are. */
  raw(bytes: string | Uint8Array): Promise<void>;
  /** The last chunk of a chunked answer. */
  end(): Promise<void>;
  /** A whole answer with its length. */
  whole(status: number, body: string | Uint8Array, headers?: Readonly<Record<string, string>>): Promise<void>;
  /** Ends the connection: with FIN, or with RST. */
  cut(how: "fin" | "rst"): void;
}

export type Script = (reply: Reply) => void | Promise<void>;

export interface FakeLlamaServer {
  readonly url: string;
  /** All requests so far. */
  readonly asked: readonly Asked[];
  /** Those that are open. */
  connections(): number;
  /** What every request from now on is answered with. */
  script: Script;
  /** Resolves with the request of that number, from 0. */
  request(index: number): Promise<Asked>;
  stop(): void;
}

/** As llama-server 0.7.0 sends them; none of them may reach a client of ours. */
const OWN_HEADERS = { Server: "llama.cpp", "Access-Control-Allow-Origin": "", "Keep-Alive": "timeout=5, max=100" };

interface Connection {
  input: Buffer;
  outgoing: Uint8Array[];
  drained: (() => void)[];
  left: AbortController | null;
}

export function startFakeLlamaServer(script: Script): FakeLlamaServer {
  const asked: Asked[] = [];
  const waiting = new Map<number, (request: Asked) => void>();
  let connections = 0;
  const serve = (socket: Socket<Connection>): void => {
    const taken = takeRequest(socket.data.input);
    if (!taken || socket.data.left) return;
    const left = new AbortController();
    socket.data.left = left;
    socket.data.input = taken.rest;
    const request: Asked = { ...taken.request, left: left.signal };
    waiting.get(asked.push(request) - 1)?.(request);
    const done = (): void => {
      socket.data.left = null;
      serve(socket);
    };
    void server.script(createReply(socket, request, done));
  };
  const listener = Bun.listen<Connection>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        connections++;
        socket.data = { input: Buffer.alloc(0), outgoing: [], drained: [], left: null };
      },
      data(socket, bytes) {
        socket.data.input = Buffer.concat([socket.data.input, bytes]);
        serve(socket);
      },
      drain: flush,
      close(socket) {
        connections--;
        socket.data.left?.abort();
        socket.data.outgoing = [];
        flush(socket);
      },
      // A reset by the client: close() follows.
      error() {},
    },
  });
  const server: FakeLlamaServer = {
    url: `http://127.0.0.1:${listener.port}`,
    asked,
    connections: () => connections,
    script,
    request(index) {
      const known = asked[index];
      return known ? Promise.resolve(known) : new Promise((resolve) => waiting.set(index, resolve));
    },
    stop: () => listener.stop(true),
  };
  return server;
}

/** The first whole request of the input: bodies have a length, as Bun's fetch sends them. */
function takeRequest(input: Buffer): { readonly request: Omit<Asked, "left">; readonly rest: Buffer } | null {
  const headEnd = input.indexOf("\r\n\r\n");
  if (headEnd < 0) return null;
  const [first = "", ...lines] = input.subarray(0, headEnd).toString("latin1").split("\r\n");
  const headers = new Headers(
    lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)]),
  );
  const bodyEnd = headEnd + 4 + Number(headers.get("content-length") ?? 0);
  if (input.length < bodyEnd) return null;
  const [method = "", path = ""] = first.split(" ");
  const body = new Uint8Array(input.subarray(headEnd + 4, bodyEnd));
  return { request: { method, path, headers, body }, rest: input.subarray(bodyEnd) };
}

function flush(socket: Socket<Connection>): void {
  const { data } = socket;
  for (let bytes = data.outgoing[0]; bytes; bytes = data.outgoing[0]) {
    const taken = Math.max(0, socket.write(bytes));
    if (taken < bytes.length) {
      data.outgoing[0] = bytes.subarray(taken);
      return;
    }
    data.outgoing.shift();
  }
  for (const resolve of data.drained.splice(0)) resolve();
}

function createReply(socket: Socket<Connection>, asked: Asked, done: () => void): Reply {
  const encode = (bytes: string | Uint8Array): Uint8Array => (typeof bytes === "string" ? Buffer.from(bytes) : bytes);
  const raw = (bytes: string | Uint8Array): Promise<void> =>
    new Promise((resolve) => {
      if (asked.left.aborted) return resolve();
      socket.data.outgoing.push(encode(bytes));
      socket.data.drained.push(resolve);
      flush(socket);
    });
  const head = (status: number, headers: Readonly<Record<string, string>>): Promise<void> => {
    const lines = Object.entries({ ...OWN_HEADERS, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
    return raw(`HTTP/1.1 ${status} Said\r\n${lines.join("")}\r\n`);
  };
  return {
    asked,
    raw,
    head: (status = 200, headers = { "Content-Type": "text/event-stream" }) =>
      head(status, { ...headers, "Transfer-Encoding": "chunked" }),
    chunk(bytes) {
      const body = encode(bytes);
      return raw(Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from("\r\n")]));
    },
    async end() {
      await raw("0\r\n\r\n");
      done();
    },
    async whole(status, body, headers = {}) {
      const bytes = encode(body);
      const type = { "Content-Type": "application/json; charset=utf-8" };
      await head(status, { ...type, ...headers, "Content-Length": String(bytes.length) });
      await raw(bytes);
      done();
    },
    cut(how) {
      if (how === "rst") socket.terminate();
      else socket.end();
    },
  };
}
