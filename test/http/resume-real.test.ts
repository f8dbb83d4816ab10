/** The real llama-server goes on from any place of a text: between the bytes of a character, in a thought, after it. */
import { afterAll, describe, expect, test } from "bun:test";
import { CHAT_TEMPLATE } from "../../scripts/recitation.ts";
import type { RecitingModel } from "../../scripts/recite.ts";
import { BYTES_TEXT } from "../../scripts/recite-bytes.ts";
import { SynapticError } from "../../src/core/errors.ts";
import { type Heard, hearAll } from "../core/continuation-support.ts";
import { recite } from "../fakes/llama-answers.ts";
import { type RealLlamaServer, startRealLlamaServer } from "../fakes/real-llama-server.ts";
import { post } from "../fakes/runtime.ts";
import { commentsOf, cutAfter, LOST, withoutComments } from "./resuming.ts";
import { clearStages, setStage } from "./stage.ts";

/** Shorter than any event, so that each is cut. */
const STEP = 131;

interface Cutting {
  ask(cuts: readonly number[]): Promise<string>;
}

const stops: (() => Promise<void>)[] = [];

afterAll(async () => {
  await clearStages();
  for (const stop of stops) await stop();
});

/** The same request as often as wanted, to a coordinator that breaks where it is told. */
function cutting(real: RealLlamaServer, path: string, body: object): Cutting {
  let cuts: number[] = [];
  const stage = setStage(recite, {
    url: real.url,
    apiKey: real.apiKey,
    through(response, url) {
      const cut = url.endsWith("completions") ? cuts.shift() : undefined;
      return cut === undefined ? response : cutAfter(response, cut, die);
    },
  });
  const die = () => stage.runtime.die(new SynapticError("coordinator_failed", LOST));
  return {
    async ask(wanted) {
      cuts = [...wanted];
      const response = await stage.fetch(
        path,
        post(JSON.stringify({ model: "m", temperature: 0, stream: true, ...body })),
      );
      return await response.text();
    },
  };
}

async function everywhere({ ask }: Cutting, compared: (heard: Heard) => unknown): Promise<Heard> {
  const whole = await ask([]);
  // The last events, [DONE] among them, come in one piece of their own.
  for (let cut = 0; cut < new TextEncoder().encode(whole).length; cut += STEP) {
    const heard = await ask([cut]);
    expect(compared(hearAll(withoutComments(heard)))).toEqual(compared(hearAll(whole)));
  }
  return hearAll(whole);
}

async function start(model: Partial<RecitingModel>): Promise<RealLlamaServer> {
  const real = await startRealLlamaServer(model);
  stops.push(real.stop);
  return real;
}

const USAGE = { stream_options: { include_usage: true } };
const HI = [{ role: "user", content: "hi" }];

describe("a byte-level BPE", () => {
  const BYTES = new TextEncoder().encode(BYTES_TEXT).length;

  test("goes on with a completion from everywhere, whatever characters are cut", async () => {
    const real = await start({ tokens: "bytes" });
    const ask = cutting(real, "/v1/completions", { prompt: "!", max_tokens: BYTES + 9 });
    // llama-server's own `created` is the time of each event.
    const { text, usages } = await everywhere(ask, (heard) => ({ ...heard, names: 1 }));
    expect(text).toBe(BYTES_TEXT);
    expect(usages[0]?.[1]).toBe(BYTES + 1);
  }, 600_000);
});

/** Cut where a template puts its own tokens. */
const THINKING = [
  ...["<think>\n", "Let", " me", " see", " what", " you", " want", " from", " this.", "\n</think>\n\n"],
  ...["Here", " is", " your", " short", " answer", " now,", " in", " a", " few", " words."],
];
/** As Qwen's: line ends around a thought are the template's own. */
const TEMPLATE = CHAT_TEMPLATE.replace(
  "{% for message in messages %}{{",
  "{% for message in messages %}{% if message['reasoning_content'] %}{{ '<|im_start|>assistant\n<think>\n' + " +
    "message['reasoning_content'].strip('\n') + '\n</think>\n\n' + message['content'].lstrip('\n') + '<|im_end|>' + '\n' }}" +
    "{% else %}{{",
).replace("'\n' }}{% endfor %}", "'\n' }}{% endif %}{% endfor %}");

describe("a chat that thinks", () => {
  test("goes on in its thoughts and after them, split as before", async () => {
    const real = await start({ text: THINKING, chatTemplate: TEMPLATE });
    const body = { messages: HI, max_tokens: 60, ...USAGE };
    const { text, reasoning, usages } = await everywhere(cutting(real, "/v1/chat/completions", body), (heard) => {
      return { ...heard, names: 1 };
    });
    expect(reasoning).toContain("what you want");
    expect(text).toBe("Here is your short answer now, in a few words.");
    expect(usages[0]?.[1]).toBe(THINKING.length + 1);
  }, 600_000);
});

test("a chat that breaks three times is one answer, and says so in comments", async () => {
  const real = await start({ tokens: "bytes", text: BYTES_TEXT });
  const { ask } = cutting(real, "/v1/chat/completions", { messages: HI, max_tokens: 200, ...USAGE });
  const heard = await ask([5_000, 4_000, 3_000]);
  expect(hearAll(withoutComments(heard))).toMatchObject({ text: BYTES_TEXT, roles: 1, finishes: ["stop"], dones: 1 });
  expect(commentsOf(heard)).toEqual(Array(3).fill(["resuming", "resumed"]).flat());
});
