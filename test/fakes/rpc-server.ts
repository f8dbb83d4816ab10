/** An rpc-server in this process: serves one client at a time like the real one, and misbehaves on demand. */
import type { Socket, TCPSocketListener } from "bun";
import { type Endpoint, formatEndpoint } from "../../src/core/units.ts";

export interface FakeMemory {
  readonly free: bigint;
  readonly total: bigint;
}

interface Normal {
  readonly tag: "normal";
  readonly version?: readonly [number, number, number];
  readonly devices?: readonly FakeMemory[];
  /** Wants the empty HELLO and answers it with 3 bytes; below major 3 it also has one device and no count. */
  readonly legacy?: boolean;
  /** Sends each reply byte by byte, this far apart. */
  readonly byteDelayMs?: number;
}

export type Behaviour =
  | Normal
  /** Takes connections, never answers: hung, or a server that waits for more. */
  | { readonly tag: "stall" }
  /** Answers like a web server. */
  | { readonly tag: "http" }
  /** Answers whatever comes first with these bytes. */
  | { readonly tag: "raw"; readonly bytes: Uint8Array; readonly thenClose?: boolean }
  /** Serves `replies` requests, then closes, resets or falls silent. */
  | { readonly tag: "quits"; readonly replies: number; readonly how: "fin" | "rst" | "silence" };

interface Client {
  received: Uint8Array;
  replies: number;
  finished: boolean;
}

const HELLO = 14;
const DEVICE_COUNT = 15;
const DEVICE_MEMORY = 11;
const HEAD_BYTES = 9;
const GIB = 1n << 30n;
export const CPU_8_GIB: FakeMemory = { free: 8n * GIB, total: 8n * GIB };
export const GPU_24_GIB: FakeMemory = { free: 20n * GIB, total: 24n * GIB };

export class FakeRpcServer {
  /** What it does from the next request on. */
  behaviour: Behaviour;
  connections = 0;
  /** Bytes from all clients. */
  received = 0;
  /** First bytes of requests, in order. */
  readonly commands: number[] = [];
  /** How clients closed, in order. */
  readonly closes: ("fin" | "rst")[] = [];
  readonly #listener: TCPSocketListener<Client>;
  /** The first one is being served. */
  readonly #queue: Socket<Client>[] = [];
  readonly #waiters = new Set<() => void>();

  /** Listens on a free loopback port, or on the one given. */
  constructor(behaviour: Behaviour = { tag: "normal" }, port = 0) {
    this.behaviour = behaviour;
    this.#listener = Bun.listen<Client>({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: (socket) => this.#open(socket),
        data: (socket, chunk) => this.#receive(socket, chunk),
        close: (socket, error) => this.#close(socket, error),
      },
    });
  }

  get port(): number {
    return this.#listener.port;
  }

  get endpoint(): Endpoint {
    return formatEndpoint("127.0.0.1", this.port);
  }

  /** Connections now. */
  get open(): number {
    return this.#queue.length;
  }

  /** Settles once the condition holds; looked at after each connection, request and close. */
  until(met: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = () => {
        if (!met()) return;
        this.#waiters.delete(check);
        resolve();
      };
      this.#waiters.add(check);
      check();
    });
  }

  /** Settles once no connection is left. */
  async empty(): Promise<void> {
    await this.until(() => this.open === 0);
  }

  /** Ends all connections, and goes on listening. */
  hangUp(how: "fin" | "rst"): void {
    for (const socket of [...this.#queue]) this.#quit(socket, how);
  }

  /** Ends like a killed process: connections are reset, the port is closed. */
  stop(): void {
    this.#listener.stop();
    for (const socket of [...this.#queue]) socket.terminate();
  }

  #wake(): void {
    for (const check of [...this.#waiters]) check();
  }

  #open(socket: Socket<Client>): void {
    socket.data = { received: new Uint8Array(), replies: 0, finished: false };
    this.connections++;
    this.#queue.push(socket);
    this.#wake();
  }

  #receive(socket: Socket<Client>, chunk: Uint8Array): void {
    this.received += chunk.length;
    socket.data.received = new Uint8Array(Buffer.concat([socket.data.received, chunk]));
    this.#serve(socket);
    this.#wake();
  }

  #close(socket: Socket<Client>, error: Error | undefined): void {
    this.closes.push(error ? "rst" : "fin");
    this.#queue.splice(this.#queue.indexOf(socket), 1);
    const next = this.#queue[0];
    if (next) this.#serve(next);
    this.#wake();
  }

  #serve(socket: Socket<Client>): void {
    const { behaviour } = this;
    const client = socket.data;
    if (this.#queue[0] !== socket || client.finished || client.received.length === 0) return;
    switch (behaviour.tag) {
      case "stall":
        return;
      case "http":
        client.finished = true;
        socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        return;
      case "raw":
        client.finished = true;
        socket.write(behaviour.bytes);
        if (behaviour.thenClose) socket.end();
        return;
      case "quits":
        if (client.replies < behaviour.replies) this.#reply(socket, { tag: "normal" });
        else this.#quit(socket, behaviour.how);
        return;
      case "normal":
        this.#reply(socket, behaviour);
    }
  }

  #quit(socket: Socket<Client>, how: "fin" | "rst" | "silence"): void {
    socket.data.finished = true;
    if (how === "fin") socket.end();
    if (how === "rst") socket.terminate();
  }

  /** Serves one request, if it is there as a whole; clients ask one at a time. */
  #reply(socket: Socket<Client>, behaviour: Normal): void {
    const client = socket.data;
    const { received } = client;
    if (received.length < HEAD_BYTES) return;
    const end = HEAD_BYTES + Number(new DataView(received.buffer).getBigUint64(1, true));
    if (received.length < end) return;
    const command = received[0] ?? 0;
    this.commands.push(command);
    client.received = received.slice(end);
    const isFirst = client.replies === 0;
    client.replies++;
    const payload =
      isFirst === (command === HELLO) ? answer(behaviour, command, received.slice(HEAD_BYTES, end)) : null;
    if (payload) void send(socket, frame(payload), behaviour.byteDelayMs ?? null);
    else this.#quit(socket, "fin");
  }
}

/** A reply frame around a payload. */
export function frame(payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8 + payload.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(payload.length), true);
  bytes.set(payload, 8);
  return bytes;
}

/** The payload for one request, or null where the real server closes the connection. */
function answer(behaviour: Normal, command: number, argument: Uint8Array): Uint8Array | null {
  const { version = [8, 0, 0], devices = [CPU_8_GIB], legacy = false } = behaviour;
  const manyDevices = version[0] >= 3;
  if (command === HELLO) {
    if (argument.length !== (legacy ? 0 : 24)) return null;
    const payload = new Uint8Array(legacy ? 3 : 28);
    payload.set(version);
    return payload;
  }
  if (command === DEVICE_COUNT && manyDevices) return new Uint8Array([devices.length, 0, 0, 0]);
  const memory = devices[argument[0] ?? 0];
  if (command !== DEVICE_MEMORY || argument.length !== (manyDevices ? 4 : 0) || !memory) return null;
  const payload = new Uint8Array(16);
  new DataView(payload.buffer).setBigUint64(0, memory.free, true);
  new DataView(payload.buffer).setBigUint64(8, memory.total, true);
  return payload;
}

/** Like the real one, size and payload apart as two segments; or byte by byte. */
async function send(socket: Socket<Client>, bytes: Uint8Array, byteDelayMs: number | null): Promise<void> {
  const pieces =
    byteDelayMs === null ? [bytes.slice(0, 8), bytes.slice(8)] : [...bytes].map((byte) => Uint8Array.of(byte));
  for (const piece of pieces) {
    socket.write(piece);
    await Bun.sleep(byteDelayMs ?? 0);
  }
}
