/** A client that holds an rpc-server as a coordinator does: HELLO, then nothing. */
import type { Socket } from "bun";
import { encodeHello } from "../../src/core/rpc.ts";
import { type Endpoint, splitEndpoint } from "../../src/core/units.ts";

export interface RawClient {
  /** The first bytes the server sent; settles also when it closes without any. */
  readonly answered: Promise<Uint8Array>;
  readonly socket: Socket;
}

/** Connects and sends `bytes` (HELLO unless told otherwise), by Bun's own TCP, apart from the code under test. */
export async function openRawClient(endpoint: Endpoint, bytes = encodeHello("current")): Promise<RawClient> {
  const { host, port } = splitEndpoint(endpoint);
  const { promise, resolve } = Promise.withResolvers<Uint8Array>();
  const socket = await Bun.connect({
    hostname: host,
    port,
    socket: {
      data: (_, chunk) => resolve(chunk),
      close: () => resolve(new Uint8Array()),
    },
  });
  socket.write(bytes);
  return { answered: promise, socket };
}

/** Holds the server from the moment this settles until `leave()`. */
export async function holdRpcServer(endpoint: Endpoint): Promise<{ leave(): void }> {
  const { answered, socket } = await openRawClient(endpoint);
  if ((await answered).length === 0) throw new Error(`${endpoint} did not answer the holder's HELLO`);
  return { leave: () => socket.end() };
}
