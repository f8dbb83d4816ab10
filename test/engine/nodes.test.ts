/** Nodes over time: polled side by side, the dead ones ever less, at once on failure; told of once. */
import { describe, expect, test } from "bun:test";
import type { NodePoll } from "../../src/core/node.ts";
import { Nodes } from "../../src/engine/nodes.ts";
import { createFakeClock } from "../fakes/clock.ts";
import { createRecordedLog } from "../fakes/log.ts";
import { answers, loadedModel, nodeModel, ScriptedOllama } from "../fakes/ollama-port.ts";

const A = "http://10.0.0.5:11434";
const B = "http://10.0.0.6:11434";
const HERE = "http://127.0.0.1:11434";
const RULES = { intervalMs: 5_000, failures: 3, successes: 2, timeoutMs: 2_000 };

function setUp(...nodes: { url: string; implied?: boolean }[]) {
  const clock = createFakeClock();
  const log = createRecordedLog();
  const ollama = new ScriptedOllama();
  return { clock, log, ollama, nodes: new Nodes({ clock, log, ollama }, { ...RULES, nodes }) };
}

const states = (nodes: Nodes) => nodes.snapshot().map(({ state }) => state);

describe("start()", () => {
  test("polls all side by side; the first round is over with the last of them", async () => {
    const { nodes, ollama, clock } = setUp({ url: A }, { url: B });
    const slow = Promise.withResolvers<NodePoll>();
    ollama.set(A, slow.promise);
    ollama.set(B, answers());
    nodes.start();
    let over = false;
    void nodes.firstRound.then(() => {
      over = true;
    });
    await clock.advance(0);
    expect([states(nodes), over, ollama.polled]).toEqual([["unknown", "up"], false, [A, B]]);
    slow.resolve(answers());
    await clock.advance(0);
    expect([states(nodes), over]).toEqual([["up", "up"], true]);
    await nodes.stop();
  });

  test("polls each again after the interval, and a dead one after twice as long each time", async () => {
    const { nodes, ollama, clock } = setUp({ url: A }, { url: B });
    ollama.set(A, answers());
    nodes.start();
    await clock.advance(60_000);
    const count = (url: string) => ollama.polled.filter((polled) => polled === url).length;
    // B after 0, 5, 15 and 35 s.
    expect([count(A), count(B)]).toEqual([13, 4]);
    await nodes.stop();
    expect(clock.pending()).toBe(0);
  });
});

test("one that fails is asked again at once, until it answers or is down", async () => {
  const { nodes, ollama, clock } = setUp({ url: A });
  ollama.set(A, answers());
  nodes.start();
  await clock.advance(0);
  ollama.set(A, { tag: "refused" });
  await clock.advance(5_000);
  expect([states(nodes), ollama.polled.length]).toEqual([["down"], 4]);
  ollama.set(A, answers());
  await nodes.refresh([A]);
  expect(nodes.snapshot()[0]?.reason).toBe("answers again, 1 of 2 times in a row");
  await clock.advance(5_000);
  expect(states(nodes)).toEqual(["up"]);
  await nodes.stop();
});

test("refresh() joins a poll under way, and knows nothing of strangers", async () => {
  const { nodes, ollama } = setUp({ url: A });
  const slow = Promise.withResolvers<NodePoll>();
  ollama.set(A, slow.promise);
  const both = Promise.all([nodes.refresh(), nodes.refresh([A, "http://stranger"])]);
  slow.resolve(answers());
  await both;
  expect(ollama.polled).toEqual([A]);
  await nodes.stop();
});

test("the Ollama that nobody named is not there until it has answered, and then for good", async () => {
  const { nodes, ollama, clock, log } = setUp({ url: HERE, implied: true });
  nodes.start();
  await clock.advance(0);
  expect([nodes.snapshot(), log.lines()]).toEqual([[], []]);
  ollama.set(HERE, answers());
  await clock.advance(60_000);
  expect(states(nodes)).toEqual(["up"]);
  ollama.set(HERE, { tag: "refused" });
  await clock.advance(60_000);
  expect(states(nodes)).toEqual(["down"]);
  expect(log.lines().map((line) => line.split(" ").slice(0, 3).join(" "))).toEqual(["info node up", "warn node down"]);
  await nodes.stop();
});

test("listeners hear of states, models and loaded models, not of every poll", async () => {
  const { nodes, ollama, clock } = setUp({ url: A });
  let heard = 0;
  const end = nodes.subscribe(() => heard++);
  ollama.set(A, answers());
  await nodes.refresh();
  await nodes.refresh();
  expect(heard).toBe(1);
  ollama.set(A, answers({ rttMs: 9, models: [nodeModel("a:latest")] }));
  await nodes.refresh();
  ollama.set(A, answers({ models: [nodeModel("a:latest")], loaded: [loadedModel("a:latest")] }));
  await nodes.refresh();
  expect(heard).toBe(3);
  end();
  ollama.set(A, answers());
  await nodes.refresh();
  expect(heard).toBe(3);
  expect(Object.isFrozen(nodes.snapshot()) && Object.isFrozen(nodes.snapshot()[0])).toBe(true);
  await clock.advance(0);
  await nodes.stop();
});

test("stop() gives up a poll under way, and none follows", async () => {
  const { nodes, ollama, clock } = setUp({ url: A });
  ollama.set(A, new Promise<NodePoll>(() => {}));
  nodes.start();
  await clock.advance(0);
  await nodes.stop();
  await nodes.firstRound;
  await nodes.refresh();
  expect([ollama.polled.length, clock.pending()]).toEqual([1, 0]);
});
