/** A client that writes the bytes of a request itself, and can stop reading or leave at any moment. */

export interface RawClient {
  /** What came so far. */
  text(): string;
  received(): number;
  /** Resolves when the text so far contains this; rejects when the connection ends before. */
  until(part: string): Promise<string>;
  /** Resolves when the server has closed. */
  readonly closed: Promise<void>;
  send(bytes: string | Uint8Array): void;
  pause(): void;
  resume(): void;
  leave(): void;
}

export async function connectRaw(port: number): Promise<RawClient> {
  const kept: Uint8Array[] = [];
  let received = 0;
  let ended = false;
  let outgoing: Uint8Array = new Uint8Array();
  const closed = Promise.withResolvers<void>();
  const waiting = new Set<() => void>();
  const text = (): string => Buffer.concat(kept).toString();
  const look = (): void => {
    for (const check of [...waiting]) check();
  };
  const push = (): void => {
    if (outgoing.length > 0) outgoing = outgoing.subarray(Math.max(0, socket.write(outgoing)));
  };
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data(_, bytes) {
        received += bytes.length;
        // Enough to look at; a flood is only counted.
        if (received < 1024 ** 2) kept.push(new Uint8Array(bytes));
        look();
      },
      drain: push,
      close() {
        ended = true;
        closed.resolve();
        look();
      },
      error() {},
    },
  });
  return {
    text,
    received: () => received,
    closed: closed.promise,
    until: (part) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          const found = text().includes(part);
          if (!found && !ended) return;
          waiting.delete(check);
          if (found) resolve(text());
          else reject(new Error(`Closed without ${JSON.stringify(part)}: ${text().slice(-500)}`));
        };
        waiting.add(check);
        check();
      }),
    send(bytes) {
      outgoing = Buffer.concat([outgoing, typeof bytes === "string" ? Buffer.from(bytes) : bytes]);
      push();
    },
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    leave: () => socket.end(),
  };
}

/** A POST as bytes; the body's length is stated. */
export function rawPost(path: string, body: string, headers: readonly string[] = []): string {
  const lines = [`POST ${path} HTTP/1.1`, "Host: 127.0.0.1", "Content-Type: application/json", ...headers];
  return `${lines.join("\r\n")}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}
