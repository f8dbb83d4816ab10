/** Whoever breaks off between its headers and its first bytes is changed for another one: nothing has gone out yet. */
import { expect, test } from "bun:test";
import { SynapticError } from "../../src/core/errors.ts";
import type { Outcome } from "../../src/engine/pool.ts";
import { Call } from "../../src/http/call.ts";
import { OPENAI_CLIENT } from "../../src/http/dialect-openai.ts";
import { openUpstream } from "../../src/http/upstream.ts";
import type { Place, Way } from "../../src/http/way.ts";
import { createFakeRuntime } from "../fakes/runtime.ts";

/** Places in the order in which they are taken, and what each of them ended with. */
function stage(bodies: Readonly<Record<string, () => ReadableStream<Uint8Array>>>) {
  const outcomes: Record<string, Outcome> = {};
  const left = Object.keys(bodies);
  const broken = new SynapticError("upstream_error", "The connection broke");
  const placeAt = (url: string): Place => ({
    ...{ url, headers: {}, slots: null, heard() {}, suspect() {} },
    asked: { path: "", body: "", refusal: () => broken, translation: null },
    release: (outcome) => void Object.assign(outcomes, { [url]: outcome }),
    judge: async () => ({ error: broken, outcome: "failed", elsewhere: true }),
  });
  const take: Way["take"] = async () => {
    const url = left.shift();
    return url === undefined ? null : placeAt(url);
  };
  const runtime = createFakeRuntime({ url: "http://nowhere" });
  const http = { request: async (url: string) => new Response(bodies[url]?.()) };
  const view = { ...runtime, ports: { ...runtime.ports, http } };
  const way: Way = { route: "pool", model: "m", reason: () => "", load: () => null, take };
  const call = new Call(view, {
    ...{ id: "1", way, client: OPENAI_CLIENT, stream: true, key: null, onEnd() {} },
    signal: new AbortController().signal,
  });
  return { outcomes, open: () => openUpstream(view, call).finally(() => call.end(null)) };
}

const breaks = () => new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(new Error("gone")) });
const speaks = () => new Response("data: hi\n\n").body ?? breaks();

test("a stream that breaks off before its first bytes is asked for elsewhere, and none of the other's is lost", async () => {
  const { open, outcomes } = stage({ "http://a": breaks, "http://b": speaks });
  const { place, reader } = await open();
  expect([place.url, outcomes]).toEqual(["http://b", { "http://a": "failed" }]);
  const first = await reader?.read();
  expect(new TextDecoder().decode(first?.value)).toBe("data: hi\n\n");
  expect((await reader?.read())?.done).toBe(true);
});

test("where there is nobody else, it is the error of the last one", async () => {
  const { open, outcomes } = stage({ "http://a": breaks, "http://b": breaks });
  const error = await open().then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ code: "upstream_error" });
  expect(outcomes).toEqual({ "http://a": "failed", "http://b": "failed" });
});
