/** A wrong value stops the start: key, expectation and finding in words, secrets never. */
import { describe, expect, test } from "bun:test";
import { configError } from "../../src/core/config-problems.ts";
import { accepted, backends, FILE, FOUR, refusal, resolve } from "./config-support.ts";

const PORT = "expected a whole number from 1 to 65535";
const HOST = "expected a host name or IPv4 address alone";

describe("a wrong backend is refused with what to write:", () => {
  const cases: readonly (readonly [name: string, backend: unknown, ...words: string[]])[] = [
    ["port 0", { host: "10.0.0.1", port: 0 }, `rpc_backends[0].port: ${PORT}, found 0`],
    ["port 70000", { host: "10.0.0.1", port: 70000 }, `rpc_backends[0].port: ${PORT}, found 70000`],
    ["port as text", { host: "10.0.0.1", port: "50052" }, `${PORT}, found "50052"`, "write 50052 without quotes"],
    ["half a port", { host: "10.0.0.1", port: 50052.5 }, `${PORT}, found 50052.5`],
    ["port null", { host: "10.0.0.1", port: null }, `${PORT}, found null`],
    ["a scheme", { host: "http://10.0.0.1" }, `${HOST}, found "http://10.0.0.1"`, "write 10.0.0.1 without a scheme"],
    ["port in the host", { host: "10.0.0.1:50052" }, HOST, 'write the port apart: "host": "10.0.0.1", "port": 50052'],
    ["IPv6", { host: "fe80::1" }, HOST, "llama.cpp's RPC has no IPv6"],
    ["IPv6 in brackets", { host: "[::1]" }, HOST, "llama.cpp's RPC has no IPv6"],
    ["four numbers, one too large", { host: "10.9.66.400" }, HOST, "four numbers from 0 to 255"],
    ["three numbers", { host: "10.9.66" }, HOST, "four numbers from 0 to 255"],
    ["an address to listen on", { host: "0.0.0.0" }, HOST, "0.0.0.0 is an address to listen on"],
    ["a comma, which would add a second server to --rpc", { host: "a,b" }, HOST],
    ["a space", { host: " a" }, HOST],
    ["a dash that would read as an option", { host: "-x" }, HOST],
    ["an empty host", { host: "" }, `${HOST}, found an empty text`],
    ["no host", { port: 50052 }, `rpc_backends[0].host: ${HOST}, found nothing`],
    ["a text", "10.0.0.1:50053", "rpc_backends[0]: expected an object", 'write {"host": "10.0.0.1", "port": 50053}'],
    ["null", null, "rpc_backends[0]: expected an object", "found null"],
  ];
  for (const [name, backend, ...words] of cases) {
    test(name, () => {
      const said = refusal(backends(backend));
      for (const word of [FILE, ...words]) expect(said).toContain(word);
    });
  }

  test("the same backend twice, by name and index", () => {
    const said = refusal(backends(FOUR[0], FOUR[1], { ...FOUR[0], has_gpu: true }));
    expect(said).toContain(
      "rpc_backends[2]: expected each backend once, found 10.9.66.154:50052 again, first at rpc_backends[0]",
    );
  });

  test("the same backend twice, as localhost and in capitals", () => {
    expect(refusal(backends({ host: "localhost" }, { host: "127.0.0.1", port: 50052 }))).toContain("each backend once");
    expect(refusal(backends({ host: "Box" }, { host: "box" }))).toContain("each backend once");
  });

  test("rpc_backends: null", () => {
    const said = refusal({ rpc_backends: null });
    expect(said).toContain(
      'rpc_backends: expected a list of objects such as {"host": "10.0.0.1", "port": 50052}, found null',
    );
    expect(said).toContain("leave the key out or write []");
  });
});

describe("resolveConfig() refuses", () => {
  const cases: readonly (readonly [name: string, value: unknown, said: string])[] = [
    ["a document that is a list", [], "expected an object: { ... }, found an empty list"],
    ["a document that is null", null, "expected an object: { ... }, found null"],
    [
      "a switch as text",
      { model_sharding_enabled: "yes" },
      'model_sharding_enabled: expected true or false, found "yes"',
    ],
    ["agent_timeout 0", { agent_timeout: 0 }, "agent_timeout: expected a number of seconds from 1 to 86400, found 0"],
    ["a model that is no text", { model: 3 }, "model: expected a model name or null, found 3"],
    ["synaptic: null", { synaptic: null }, "synaptic: expected an object, found null"],
    [
      "an unknown placement",
      { synaptic: { placement: "best" } },
      'expected "fewest", "spread", "pinned" or "resilient", found "best"',
    ],
    ["listen port 0", { synaptic: { listen: { port: 0 } } }, `synaptic.listen.port: ${PORT}, found 0`],
    [
      "a listen URL",
      { synaptic: { listen: { host: "http://x" } } },
      "synaptic.listen.host: expected a host name or IP address",
    ],
    ["context 0", { synaptic: { contextSize: 0 } }, "synaptic.contextSize: expected a whole number of tokens from 1"],
    [
      "an empty llamaServer list",
      { synaptic: { llamaServer: [] } },
      "synaptic.llamaServer: expected a path or a list of paths",
    ],
    ["a KV type", { synaptic: { kvType: "f32" } }, 'synaptic.kvType: expected "f16", "q8_0" or "q4_0", found "f32"'],
    ["a probe every millisecond", { synaptic: { probe: { intervalMs: 1 } } }, "synaptic.probe.intervalMs: expected"],
    [
      "memory in words",
      { synaptic: { backends: [{ endpoint: "a:1", maxMemory: "lots" }] } },
      'expected a size such as "12GiB"',
    ],
    [
      "no memory",
      { synaptic: { backends: [{ endpoint: "a:1", maxMemory: "0GiB" }] } },
      "synaptic.backends[0].maxMemory",
    ],
    ["an endpoint's port", { synaptic: { backends: [{ endpoint: "a:70000" }] } }, "expected a port from 1 to 65535"],
    [
      "an endpoint with a scheme",
      { synaptic: { backends: [{ endpoint: "http://a:1" }] } },
      "synaptic.backends[0].endpoint",
    ],
    [
      "an endpoint twice",
      { synaptic: { backends: [{ endpoint: "a" }, { endpoint: "a:50052" }] } },
      "synaptic.backends[1]: expected each backend once, found a:50052 again, first at synaptic.backends[0]",
    ],
    [
      "pinned without layers",
      {
        ...backends(...FOUR),
        synaptic: { placement: "pinned", backends: [{ endpoint: "10.9.66.48:50052", layers: 0 }] },
      },
      'synaptic.backends: expected layers for the backends, since placement is "pinned", found none',
    ],
    [
      "a key's name twice",
      { synaptic: { keys: [0, 1].map(() => ({ name: "a", hash: `sha256:${"0".repeat(64)}`, scopes: ["use"] })) } },
      'synaptic.keys[1].name: expected a name of its own, found "a" again',
    ],
  ];
  for (const [name, value, said] of cases) test(name, () => expect(refusal(value)).toContain(said));
});

describe("an open listener without a key", () => {
  const open = { synaptic: { listen: { host: "0.0.0.0" } } };
  const hash = `sha256:${"AB".repeat(32)}`;

  test("is refused, with what to do", () => {
    const said = refusal(open);
    expect(said).toContain(
      'synaptic.listen.host: expected a loopback address while there is no API key, found "0.0.0.0"',
    );
    expect(said).toContain("SYNAPTIC_API_KEY");
    expect(said).toContain("--insecure");
    for (const host of ["::", "192.168.1.5", "box", "128.0.0.1"])
      expect(resolve({}, { flags: { host } }).ok).toBe(false);
  });

  test("names the flag when that opened it", () => {
    expect(refusal({}, { flags: { host: "0.0.0.0" } })).toStartWith("Cannot use --host: expected a loopback address");
  });

  test("is accepted with a key of either kind, and with --insecure, which leaves a line", () => {
    expect(accepted(open, { env: { SYNAPTIC_API_KEY: "k" } }).warnings).toEqual([]);
    expect(accepted({ synaptic: { ...open.synaptic, keys: [{ name: "a", hash, scopes: ["use"] }] } }).warnings).toEqual(
      [],
    );
    expect(accepted(open, { flags: { insecure: true } }).warnings[0]).toContain("without a key (--insecure)");
  });

  test("an empty SYNAPTIC_API_KEY is no key", () => {
    expect(resolve(open, { env: { SYNAPTIC_API_KEY: "" } }).ok).toBe(false);
  });

  test("is no matter for commands that do not listen", () => {
    expect(resolve(open, { serving: false }).ok).toBe(true);
  });

  test("loopback needs no key", () => {
    for (const host of ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
      expect(accepted({}, { flags: { host } }).listen.host).toBe(host);
  });
});

describe("configError()", () => {
  test("tells all problems at once, across schema, cross checks, flags and variables", () => {
    const value = {
      agent_timeout: 0,
      rpc_backends: [FOUR[0], FOUR[0]],
      synaptic: { kvType: 1, backends: [{ endpoint: "a:0" }] },
    };
    const said = refusal(value, { flags: { port: "x" }, env: { SYNAPTIC_PLACEMENT: "best" } });
    expect(said).toStartWith("Cannot use the configuration: 6 problems\n");
    for (const word of [
      "agent_timeout",
      "rpc_backends[1]",
      "kvType",
      "backends[0].endpoint",
      "--port",
      "SYNAPTIC_PLACEMENT",
    ]) {
      expect(said).toContain(word);
    }
  });

  test("is config_invalid, with a hint", () => {
    const error = configError([{ source: null, key: "a", expected: "b", found: "c" }], "/f.json");
    expect(error.code).toBe("config_invalid");
    expect(error.message).toBe("Cannot use /f.json: a: expected b, found c");
    expect(error.hint).toBe("see `synaptic config schema` for every key");
  });

  test("shortens long values and long lists", () => {
    const value = { rpc_backends: Array.from({ length: 50 }, () => ({ host: `${"x".repeat(5000)} ` })) };
    const said = refusal(value);
    expect(said.length).toBeLessThan(5000);
    expect(said).toContain("and 30 more");
  });

  test("never shows what may be secret", () => {
    const secret = "s3cr3t";
    const values: unknown[] = [
      { synaptic: { keys: [{ name: "a", hash: secret, scopes: ["use"] }] } },
      { synaptic: { keys: [secret] } },
      { synaptic: { keys: secret } },
      { synaptic: { models: { settings: { m: { env: secret } } } } },
      { synaptic: { models: { settings: { m: { env: { "A B": secret } } } } } },
      { synaptic: { models: { settings: { m: { args: `--api-key ${secret}` } } } } },
      { synaptic: { models: { settings: { m: { args: [`--api-key=${secret}`, `--hf-token ${secret}`] } } } } },
      [{ redis_password: secret }],
    ];
    for (const value of values) expect(refusal(value)).not.toContain(secret);
    expect(refusal({}, { env: { SYNAPTIC_API_KEY: `${secret} ` } })).not.toContain(secret);
  });
});
