/** Who may ask: keys and their scopes, the Host header, web pages; and what every answer carries. */
import { afterEach, describe, expect, test } from "bun:test";
import { SynapticError } from "../../src/core/errors.ts";
import { recite, refuse } from "../fakes/llama-answers.ts";
import { chat, type FakeRuntimeOptions, post } from "../fakes/runtime.ts";
import { clearStages, errorOf, setStage } from "./stage.ts";

afterEach(clearStages);

const CHAT = "/v1/chat/completions";

async function keyOf(name: string, scopes: readonly string[]) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(name));
  return { name, scopes, hash: `sha256:${new Uint8Array(digest).toHex()}` };
}

const KEYED: Omit<FakeRuntimeOptions, "url"> = {
  own: { keys: [await keyOf("user-key", ["use"]), await keyOf("admin-key", ["admin"])] },
  env: { SYNAPTIC_API_KEY: "own-key" },
};

function bearer(key: string): RequestInit {
  return { headers: { authorization: `Bearer ${key}` } };
}

describe("with keys", () => {
  test.each(["/v1/models", "/metrics", "/synaptic/status"])("%s is closed without one", async (path) => {
    const { request } = setStage(recite, KEYED);
    for (const init of [{}, bearer("wrong"), { headers: { authorization: "Basic dXNlci1rZXk6" } }, bearer("")]) {
      const response = await request(path, init);
      expect(response.status).toBe(401);
      expect(response.headers.get("www-authenticate")).toBe("Bearer");
      expect(response.headers.get("x-should-retry")).toBe("false");
      expect(await errorOf(response)).toMatchObject({ type: "invalid_request_error", code: "invalid_api_key" });
    }
  });

  test("a wrong key is not repeated in the answer", async () => {
    const response = await setStage(recite, KEYED).request("/v1/models", bearer("sk-wrong-secret"));
    expect(await response.text()).not.toContain("secret");
  });

  test.each<[string, number, number]>([
    ["user-key", 200, 403],
    ["admin-key", 200, 200],
    ["own-key", 200, 200],
  ])("%s opens /v1 with %d and /synaptic with %d", async (key, use, admin) => {
    const { request } = setStage(recite, KEYED);
    expect((await request("/v1/models", bearer(key))).status).toBe(use);
    expect((await request("/metrics", bearer(key))).status).toBe(use);
    const response = await request("/synaptic/status", bearer(key));
    expect(response.status).toBe(admin);
    if (admin === 403) expect((await errorOf(response)).code).toBe("forbidden");
  });

  test("a key may come in x-api-key, and Bearer in any case", async () => {
    const { request } = setStage(recite, KEYED);
    expect((await request("/v1/models", { headers: { "x-api-key": "user-key" } })).status).toBe(200);
    expect((await request("/v1/models", { headers: { authorization: "bearer user-key" } })).status).toBe(200);
  });

  test("a completion without one reaches no coordinator", async () => {
    const { request, upstream } = setStage(recite, KEYED);
    expect((await request(CHAT, post(chat()))).status).toBe(401);
    expect((await request(CHAT, post("x".repeat(1000)))).status).toBe(401);
    expect(upstream.asked).toHaveLength(0);
  });

  test.each(["/", "/healthz", "/readyz"])("%s is open", async (path) => {
    expect((await setStage(recite, KEYED).request(path)).status).toBe(200);
  });
});

test("without keys any key is taken", async () => {
  expect((await setStage(recite).request("/v1/models", bearer("dummy"))).status).toBe(200);
});

describe("on loopback", () => {
  test.each([
    "localhost",
    "127.0.0.1:11400",
    "[::1]:11400",
    "LOCALHOST:1",
    "127.9.9.9",
    "0.0.0.0:11400",
    "host.docker.internal:11400",
  ])("the host %s is this machine", async (host) => {
    expect((await setStage(recite).request("/v1/models", { headers: { host } })).status).toBe(200);
  });

  test.each(["evil.example", "evil.example:11400", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.1.2"])(
    "the host %s is a foreign name for this machine: 403",
    async (host) => {
      for (const path of ["/v1/models", "/healthz", "/nothing"]) {
        const response = await setStage(recite).request(path, { headers: { host } });
        expect(response.status).toBe(403);
        expect(await errorOf(response)).toMatchObject({ code: "forbidden" });
      }
    },
  );

  test("a name that the config gives it is its own, in any case", async () => {
    const { request } = setStage(recite, { own: { listen: { hosts: ["Llm.Example"] } } });
    expect((await request("/v1/models", { headers: { host: "llm.example" } })).status).toBe(200);
    expect((await request("/v1/models", { headers: { host: "LLM.example:443" } })).status).toBe(200);
    expect((await request("/v1/models", { headers: { host: "x.llm.example" } })).status).toBe(403);
  });

  test("also when it is IPv6's", async () => {
    const { request } = setStage(recite, { config: { listen: { host: "::1", port: 1 } } });
    expect((await request("/healthz", { headers: { host: "evil.example" } })).status).toBe(403);
    expect((await request("/healthz", { headers: { host: "[::1]:1" } })).status).toBe(200);
  });

  test("only: beyond it every name is as good as another", async () => {
    const { request } = setStage(recite, { config: { listen: { host: "0.0.0.0", port: 1 } } });
    expect((await request("/healthz", { headers: { host: "server.example" } })).status).toBe(200);
  });
});

const PAGES = [
  "http://localhost:3000",
  "https://127.0.0.1",
  "app://obsidian.md",
  "tauri://localhost",
  "http://[::1]:5173",
];
const FOREIGN = ["https://evil.example", "http://localhost.evil.example", "null", "http://127.0.0.1.evil.example", ""];

describe("web pages", () => {
  test.each(PAGES)("of this machine may ask and read: %s", async (origin) => {
    const { request } = setStage(recite);
    const response = await request("/v1/models", { headers: { origin } });
    expect(response.status).toBe(200);
    expect(response.headers.get("access-control-allow-origin")).toBe(origin);
    expect(response.headers.get("vary")).toContain("Origin");
  });

  test.each(FOREIGN)("of others may not even ask, so that none loads a model: %j", async (origin) => {
    const { request, runtime } = setStage(recite);
    const response = await request(CHAT, post(chat(), { origin, "content-type": "text/plain" }));
    expect(response.status).toBe(403);
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
    expect(runtime.granted()).toBe(0);
  });

  test("that we serve ourselves may ask, under whatever name", async () => {
    const { request } = setStage(recite, { config: { listen: { host: "0.0.0.0", port: 1 } } });
    const headers = { origin: "http://Server.example:11400", host: "server.example:11400" };
    expect((await request("/v1/models", { headers })).status).toBe(200);
  });

  test("ask beforehand without a key, and hear of every header that they name", async () => {
    const names = "authorization,content-type,x-stainless-lang,x-stainless-retry-count,openai-beta,x-api-key";
    const { request } = setStage(recite, KEYED);
    const response = await request(CHAT, {
      method: "OPTIONS",
      headers: {
        origin: "http://localhost:3000",
        "access-control-request-method": "POST",
        "access-control-request-headers": names,
      },
    });
    expect(response.status).toBe(204);
    expect(response.headers.get("access-control-allow-origin")).toBe("http://localhost:3000");
    expect(response.headers.get("access-control-allow-headers")).toBe(names);
    expect(response.headers.get("access-control-allow-methods")).toContain("POST");
  });
});

describe("every answer", () => {
  const origin = "http://localhost:3000";
  const answers: readonly (readonly [string, number, string, RequestInit])[] = [
    ["a list", 200, "/v1/models", {}],
    ["a whole completion", 200, CHAT, post(chat())],
    ["a stream", 200, CHAT, post(chat({ stream: true }))],
    ["a bad request", 400, CHAT, post("{")],
    ["an unknown model", 404, "/v1/models/n", {}],
    ["an unknown URL", 404, "/nothing", {}],
    ["a wrong method", 405, CHAT, {}],
    ["a body too large", 413, CHAT, post(new Uint8Array(33 * 1024 ** 2))],
  ];

  test.each(answers)("has its own id, and can be read by a page: %s", async (_, status, path, init) => {
    const { request } = setStage(recite);
    const ids = new Set<string | null>();
    for (let i = 0; i < 2; i++) {
      const response = await request(path, { ...init, headers: { ...init.headers, origin } });
      expect(response.status).toBe(status);
      ids.add(response.headers.get("x-request-id"));
      expect(response.headers.get("access-control-allow-origin")).toBe(origin);
      expect(response.headers.get("access-control-expose-headers")).toContain("x-request-id");
    }
    expect(ids.size).toBe(2);
    expect([...ids].every((id) => id && id.length >= 16)).toBe(true);
  });

  test("keeps an id that the client gave, unless it is no id", async () => {
    const { request } = setStage(recite);
    const idFor = async (id: string) =>
      (await request("/healthz", { headers: { "x-request-id": id } })).headers.get("x-request-id");
    expect(await idFor("mine-1")).toBe("mine-1");
    expect(await idFor("a b")).not.toBe("a b");
    expect(await idFor("x".repeat(300))).not.toBe("x".repeat(300));
  });

  test.each<[string, number, string]>([
    ["whole", 200, chat()],
    ["streamed", 200, chat({ stream: true })],
  ])("of a model says which way it took and why: %s", async (_, status, body) => {
    const response = await setStage(recite).request(CHAT, post(body));
    expect(response.status).toBe(status);
    expect(response.headers.get("x-synaptic-route")).toBe("shard");
    expect(response.headers.get("x-synaptic-reason")).toBe("sharded over 10.0.0.1:50052");
  });

  test("says so when it is an error too, and keeps its id in the log", async () => {
    const { request, runtime } = setStage(refuse(500, "Something broke"));
    const response = await request(CHAT, post(chat(), { "x-request-id": "mine-2" }));
    expect(response.status).toBe(502);
    expect(response.headers.get("x-synaptic-route")).toBe("shard");
    expect(runtime.log.records).toMatchObject([{ level: "error", fields: { model: "m", request: "mine-2" } }]);
  });

  test("of a fault of our own is a 500 that tells nothing of the inside, but the log does", async () => {
    const { request, runtime } = setStage(recite);
    runtime.catalog.list = () => Promise.reject(new Error("a bug"));
    const response = await request("/v1/models");
    expect(response.status).toBe(500);
    const error = await errorOf(response);
    expect(error).toMatchObject({ type: "server_error", code: null, param: null });
    expect(error.message).not.toContain("a bug");
    expect(error.message).toContain(response.headers.get("x-request-id") ?? "no id");
    expect(runtime.log.records).toMatchObject([
      { level: "error", fields: { stack: expect.stringContaining("a bug") } },
    ]);
  });

  test("of a refusal has its retry-after within what all clients obey", async () => {
    const { request, runtime } = setStage(recite);
    runtime.catalog.list = () => Promise.reject(new SynapticError("too_busy", "Full", { retryAfterMs: 600_000 }));
    const response = await request("/v1/models");
    expect([response.status, response.headers.get("retry-after")]).toEqual([429, "59"]);
    expect(response.headers.get("x-should-retry")).toBeNull();
  });
});
