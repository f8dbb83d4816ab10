import { afterEach, describe, expect, test } from "bun:test";
import { SynapticError } from "../../src/core/errors.ts";
import { type Listener, type ListenOptions, listen } from "../../src/io/http-server.ts";
import { connectRaw } from "../fakes/raw-client.ts";

const open: Listener[] = [];
afterEach(() => Promise.all(open.splice(0).map((listener) => listener.stop(0))));

function start(fetch: ListenOptions["fetch"], more: Partial<ListenOptions> = {}): Listener {
  const listener = listen({ host: "127.0.0.1", port: 0, fetch, ...more });
  open.push(listener);
  return listener;
}

const GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/** A response that is under way until told to end. */
function slowResponse(end: Promise<void>): Response {
  return new Response(
    new ReadableStream({
      type: "direct",
      async pull(out) {
        out.write("begun ");
        out.flush();
        await end;
        out.write("ended");
        out.close();
      },
    }),
  );
}

describe("listen()", () => {
  test("takes a free port for 0 and says which", async () => {
    const { url, port } = start(() => new Response("here"));
    expect(url).toBe(`http://127.0.0.1:${port}`);
    expect(await (await fetch(url)).text()).toBe("here");
  });

  test("writes an IPv6 address in brackets", () => {
    expect(start(() => new Response(), { host: "::1" }).url).toMatch(/^http:\/\/\[::1\]:\d+$/);
  });

  test.each([
    ["that is in use", (taken: number) => ({ port: taken }), "in use"],
    ["that is not ours", () => ({ host: "192.0.2.1" }), "192.0.2.1"],
  ])("refuses an address %s with a hint", (_, options, words) => {
    const { port } = start(() => new Response());
    const attempt = (): Listener => start(() => new Response(), options(port));
    expect(attempt).toThrow(SynapticError);
    expect(attempt).toThrow(words);
  });

  test("answers a fault of the app's own with an empty 500, and goes on", async () => {
    let faulty = true;
    const { url } = start(() => {
      if (faulty) throw new Error("a secret of the inside");
      return new Response("well");
    });
    const response = await fetch(url);
    expect([response.status, await response.text()]).toEqual([500, ""]);
    faulty = false;
    expect((await fetch(url)).status).toBe(200);
  });

  test("tells the app when a client has left, also by closing its half only", async () => {
    const left = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const { port } = start(({ signal }) => {
      signal.addEventListener("abort", () => left.resolve());
      asked.resolve();
      return slowResponse(left.promise);
    });
    const client = await connectRaw(port);
    client.send(GET);
    await asked.promise;
    client.leave();
    await left.promise;
  });
});

describe("stop()", () => {
  test("refuses new connections at once, and lets open answers end", async () => {
    const end = Promise.withResolvers<void>();
    const { port, stop } = start(() => slowResponse(end.promise));
    const client = await connectRaw(port);
    client.send(GET);
    await client.until("begun");
    const stopped = stop(30_000);
    expect(fetch(`http://127.0.0.1:${port}`)).rejects.toThrow();
    end.resolve();
    await client.until("ended");
    await stopped;
  });

  test("cuts answers that have not ended by the end of the grace", async () => {
    const { port, stop } = start(() => slowResponse(new Promise(() => {})));
    const client = await connectRaw(port);
    client.send(GET);
    await client.until("begun");
    await stop(20);
    await client.closed;
  });

  test("does not wait for connections that are merely kept", async () => {
    const { port, stop } = start(() => new Response("here"));
    const client = await connectRaw(port);
    client.send(GET);
    await client.until("here");
    await stop(30_000);
    await client.closed;
  });

  test("waits without a timer that would keep the process", async () => {
    const { stop } = start(() => new Response());
    await stop(30_000);
    await stop(30_000);
  });
});
