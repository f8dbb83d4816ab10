/** Checks of the lists of models, in OpenAI's and in Ollama's form, and of what start-up probes ask. */
import { describe, expect, test } from "bun:test";
import { z } from "zod";
import { chatOllama, ollama, openAi } from "./clients.ts";
import { ASK, post } from "./wire.ts";
import { EMBED, KINDS, MIND, RECITE, TALE, TALE_TEXT, VECTORS, type World } from "./world.ts";

/** What Zed's and Roo's own schemas ask of an entry (facts/clients.md 1a). */
const TAG = z.object({
  name: z.string().min(1),
  model: z.string().min(1),
  modified_at: z.iso.datetime({ offset: true }),
  size: z.number(),
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  details: z.object({
    format: z.string(),
    family: z.string(),
    parameter_size: z.string(),
    quantization_level: z.string(),
  }),
});

/** What Roo, AnythingLLM and Continue ask of `show`. */
const SHOWN = z.object({
  capabilities: z.array(z.string()).min(1),
  details: z.object({ family: z.string().min(1), parameter_size: z.string() }),
  model_info: z.record(z.string(), z.unknown()),
  template: z.string(),
  parameters: z.string().optional(),
});

export function listingChecks(world: World): void {
  const { main, node } = world;
  const get = async (path: string, method = "GET") => await fetch(`${main.url}${path}`, { method });

  describe("listings", () => {
    test("5.24 /v1/models has each model once, within 5 s beside a dead node, and [] when there is none", async () => {
      const started = performance.now();
      const { data } = await openAi(main).client.models.list();
      expect(performance.now() - started).toBeLessThan(5_000);
      const ids = data.map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      expect(ids.toSorted()).toEqual(
        [RECITE, EMBED, TALE.name, MIND.name, VECTORS.name, "spaced/tale:8b", "hf.co/u/r:Q4_K_M"].toSorted(),
      );
      for (const { id, object, created } of data) {
        expect([typeof id, object, Number.isInteger(created)]).toEqual(["string", "model", true]);
      }
      const { url } = await world.serve({ own: { models: {} } });
      const none = await fetch(`${url}/v1/models`);
      expect(await none.json()).toEqual({ object: "list", data: [] });
    });

    test("5.25 /v1/models/{id} takes a:b, ns/a:b and hf.co/u/r:Q4, raw and percent-encoded", async () => {
      const { client } = openAi(main);
      for (const id of [TALE.name, "spaced/tale:8b", "hf.co/u/r:Q4_K_M", RECITE]) {
        // The SDK encodes the slashes.
        expect(await client.models.retrieve(id)).toMatchObject({ id, object: "model" });
        for (const path of [id, encodeURIComponent(id)]) {
          const answer = await get(`/v1/models/${path}`);
          expect([path, answer.status]).toEqual([path, 200]);
        }
      }
      expect((await get("/v1/models/nothing:1b")).status).toBe(404);
    });

    test("5.26 O list(): name, model, modified_at, size, digest and details pass Zed's and Roo's schemas", async () => {
      const { models } = await ollama(main).list();
      const names = models.map(({ name }) => name);
      expect(new Set(names).size).toBe(names.length);
      for (const name of [TALE.name, MIND.name, `${RECITE}:latest`]) expect(names).toContain(name);
      for (const model of models) {
        expect(TAG.safeParse(model).error?.message).toBeUndefined();
        expect(model.name).toBe(model.model);
      }
    });

    test("5.27 O show(): an array of capabilities, <arch>.context_length and details.family, on both kinds", async () => {
      for (const model of KINDS) {
        const shown = await ollama(main).show({ model });
        const { model_info } = SHOWN.parse(shown);
        const architecture = model_info["general.architecture"];
        expect(typeof architecture).toBe("string");
        expect(typeof model_info[`${architecture}.context_length`]).toBe("number");
      }
      const mind = SHOWN.parse(await ollama(main).show({ model: MIND.name }));
      for (const capability of MIND.capabilities ?? []) expect(mind.capabilities).toContain(capability);
      // Continue sends `name`.
      const named = await post(`${main.url}/api/show`, { name: TALE.name });
      expect(named.status).toBe(200);
    });

    test("5.37 HEAD /, /api/version and /api/ps answer without asking a node", async () => {
      const client = ollama(main);
      const before = node.asked.filter((path) => !["/api/version", "/api/tags", "/api/ps"].includes(path)).length;
      const { url } = main;
      expect((await get("/", "HEAD")).status).toBe(200);
      expect((await client.version()).version).toMatch(/^\d+\.\d+\.\d+/);
      for (const path of ["/api/version", "/api/tags"]) {
        const head = await get(path, "HEAD");
        expect([path, head.status, await head.text()]).toEqual([path, 200, ""]);
      }
      const { models } = await client.ps();
      const recite = models.find(({ name }) => name === `${RECITE}:latest`);
      expect(recite).toMatchObject({
        model: `${RECITE}:latest`,
        size: expect.any(Number),
        size_vram: expect.any(Number),
      });
      // Open WebUI reads it with datetime.fromisoformat.
      expect(Number.isNaN(Date.parse(String(recite?.expires_at)))).toBe(false);
      const after = node.asked.filter((path) => !["/api/version", "/api/tags", "/api/ps"].includes(path)).length;
      expect(after).toBe(before);
      // With a node that hangs it is as fast.
      const hangs = world.startNode();
      const slow = await world.serve({ nodes: [hangs] });
      hangs.fault = () => new Promise<Response>(() => {});
      const started = performance.now();
      for (const path of ["/", "/api/version", "/api/ps", "/api/tags"]) {
        expect((await fetch(`${slow.url}${path}`)).status).toBe(200);
      }
      expect(performance.now() - started).toBeLessThan(1_000);
      expect(url).toBe(main.url);
    });

    test("5.55 Open WebUI's three probes and a chat succeed with one node down", async () => {
      for (const path of ["/api/version", "/api/tags", "/api/ps"]) {
        const started = performance.now();
        expect((await get(path)).status).toBe(200);
        expect(performance.now() - started).toBeLessThan(5_000);
      }
      const { text, status } = await post(`${main.url}/api/chat`, { model: TALE.name, messages: ASK });
      expect(status).toBe(200);
      const content = text
        .trimEnd()
        .split("\n")
        // Ollama's own lines; what is missing shows in the comparison.
        .map((line) => (JSON.parse(line) as { message?: { content?: string } }).message?.content ?? "");
      expect(content.join("")).toBe(TALE_TEXT);
      expect((await chatOllama(main, TALE.name).invoke("Please recite.")).content).toBe(TALE_TEXT);
    });
  });
}
