import { afterEach, describe, expect, test } from "bun:test";
import { requestUpstream } from "../../src/io/http-client.ts";
import { type FakeLlamaServer, type Script, startFakeLlamaServer } from "../fakes/llama-server.ts";

const open: FakeLlamaServer[] = [];
afterEach(() => {
  for (const server of open.splice(0)) server.stop();
});

function start(script: Script): FakeLlamaServer {
  const server = startFakeLlamaServer(script);
  open.push(server);
  return server;
}

const NEVER = new AbortController().signal;
const GET = { method: "GET", headers: {}, signal: NEVER } as const;

describe("requestUpstream()", () => {
  test("leaves a compressed body as it is, though it asked for none", async () => {
    const bytes = Bun.gzipSync("hello");
    const server = start((reply) => reply.whole(200, bytes, { "Content-Encoding": "gzip" }));
    const response = await requestUpstream(server.url, GET);
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes);
    expect(server.asked[0]?.headers.get("accept-encoding")).toBe("identity");
  });

  test("follows no redirect", async () => {
    const server = start((reply) => reply.whole(302, "", { Location: "/elsewhere" }));
    expect((await requestUpstream(server.url, GET)).status).toBe(302);
    expect(server.asked).toHaveLength(1);
  });

  test("keeps no connection, since an idle one holds a thread of llama-server's", async () => {
    const server = start((reply) => reply.whole(200, "{}"));
    await (await requestUpstream(server.url, GET)).text();
    while (server.connections() > 0) await new Promise(setImmediate);
  });

  test("sends body and headers as given", async () => {
    const server = start((reply) => reply.whole(200, "{}"));
    const body = new Uint8Array([123, 0, 255, 125]);
    await requestUpstream(server.url, { method: "POST", headers: { "x-a": "b" }, body, signal: NEVER });
    expect(server.asked[0]?.body).toEqual(body);
    expect(server.asked[0]?.headers.get("x-a")).toBe("b");
  });

  test("ends with the signal's own reason, before the headers and after", async () => {
    const server = start(() => {});
    const before = new AbortController();
    const pending = requestUpstream(server.url, { ...GET, signal: before.signal });
    const asked = await server.request(0);
    const reason = new Error("enough");
    before.abort(reason);
    expect(pending).rejects.toBe(reason);
    await new Promise<void>((resolve) => {
      if (asked.left.aborted) resolve();
      else asked.left.addEventListener("abort", () => resolve());
    });

    server.script = (reply) => reply.head();
    const after = new AbortController();
    const response = await requestUpstream(server.url, { ...GET, signal: after.signal });
    after.abort(reason);
    expect(response.text()).rejects.toBe(reason);
  });

  test("says that nobody listens", async () => {
    const server = start(() => {});
    server.stop();
    expect(requestUpstream(server.url, GET)).rejects.toThrow();
  });
});
