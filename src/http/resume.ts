/** A stream whose coordinator dies goes on with the next one where it broke; its client sees one answer, and comments. */
import {
  type Continuation,
  continuationOf,
  nextBody,
  type Resumable,
  type Seam,
  whyNotResumable,
} from "../core/continuation.ts";
import { createResumedStream, type ResumedStream } from "../core/continuation-stream.ts";
import { wrapError } from "../core/errors.ts";
import { createSentEvents, type SentEvents, UNKEPT } from "../core/sent-events.ts";
import { cannotGoOn } from "../core/wait-words.ts";
import type { ResumeOutcome } from "../engine/metrics.ts";
import type { Call } from "./call.ts";
import type { Asked } from "./exchange.ts";
import { type Answer, answerOf, type ChunkReader, type Opened, type Sink, textReader } from "./incoming.ts";
import { Prefill } from "./prefill.ts";
import { type ResumeWait, waitToResume } from "./resume-wait.ts";
import type { RuntimeView } from "./runtime-view.ts";
import { ask, judge, openUpstream } from "./upstream.ts";
import type { Place, Verdict } from "./way.ts";

type Going = Extract<Continuation, { readonly kind: "go" }>;

/** Losses in a row without a new word between them: whatever ends it lies in the text itself. */
const FRUITLESS = 2;

export class Resuming {
  /** Of this stream, whoever sent it. */
  readonly sent: SentEvents;
  readonly #view: RuntimeView;
  readonly #call: Call;
  readonly #out: Sink;
  readonly #request: Resumable | null;
  #pieces = -1;
  #fruitless = 0;

  constructor(view: RuntimeView, call: Call, { out, asked }: { readonly out: Sink; readonly asked: Asked }) {
    this.#view = view;
    this.#call = call;
    this.#out = out;
    const isWanted = call.request.resumes !== false && view.config.resumeWithinMs > 0;
    this.#request = isWanted ? (asked.resumable ?? null) : null;
    const canResume = this.#request !== null && whyNotResumable(this.#request) === null;
    this.sent = canResume ? createSentEvents() : UNKEPT;
  }

  /** The rest of an answer that broke off, from the next coordinator; releases the place of the last one. @throws
   *  SynapticError when there is none. */
  async after(thrown: unknown, place: Place): Promise<Answer> {
    const brokeAt = this.#now();
    const verdict = await judge(this.#call, place, thrown);
    this.#call.unwatch();
    place.release(verdict.outcome);
    this.sent.breakOff();
    if (!verdict.elsewhere || !this.#request) throw verdict.error;
    const next = continuationOf(this.#request, this.sent.chunks());
    if (next.kind === "over") return { place, reader: textReader(next.rest) };
    if (next.kind === "impossible") throw this.#refusal(verdict, next.why);
    if (this.#isFruitless(next)) throw this.#refusal(verdict, "it breaks at the same place each time");
    return await this.#reopen(verdict, { request: this.#request, next, detectMs: this.#now() - brokeAt });
  }

  #refusal({ error }: Verdict, why: string) {
    this.#count("refused");
    return cannotGoOn(error, why);
  }

  #isFruitless({ said: { pieces } }: Going): boolean {
    this.#fruitless = pieces.length > this.#pieces ? 0 : this.#fruitless + 1;
    this.#pieces = pieces.length;
    return this.#fruitless === FRUITLESS;
  }

  async #reopen({ error }: Verdict, broken: Broken): Promise<Answer> {
    const [view, call] = [this.#view, this.#call];
    const wait = waitToResume(view, call, this.#out);
    const rest = new Rest(view, call, { ...broken, wait, onFirst: (times) => this.#tell(broken, times) });
    try {
      const opened = await openUpstream(view, call, {
        waiting: () => wait.begin(),
        failed: error,
        ask: (place) => rest.asked(place),
      });
      return rest.answer(opened);
    } catch (thrown) {
      wait.stop();
      if (call.signal.aborted) throw call.signal.reason;
      this.#count("failed");
      throw cannotGoOn(error, wrapError("upstream_error", "The model's connection broke", thrown));
    }
  }

  #tell({ next: { said }, detectMs }: Broken, times: Times): void {
    const { client, way, id } = this.#call.request;
    this.#out.write(client.waiting("resumed"));
    this.#count("resumed");
    const fields = { request: id, after: said.pieces.length, detectMs, ...times };
    this.#view.ports.log.info(`${way.model} goes on with an answer that broke`, fields);
  }

  #count(outcome: ResumeOutcome): void {
    this.#view.metrics.resume(this.#call.request.way.model, outcome);
  }

  #now(): number {
    return this.#view.ports.clock.now();
  }
}

interface Broken {
  readonly request: Resumable;
  readonly next: Going;
  readonly detectMs: number;
}

interface Times {
  /** From the loss to the slot. */
  readonly loadMs: number;
  /** From the slot to the first new word. */
  readonly firstTokenMs: number;
}

interface RestOptions extends Broken {
  readonly wait: ResumeWait;
  /** Called once, before the first new event is handed out. */
  readonly onFirst: (times: Times) => void;
}

/** What the next coordinator says, from its request to its last byte. */
class Rest implements ChunkReader {
  readonly #view: RuntimeView;
  readonly #call: Call;
  readonly #options: RestOptions;
  readonly #started: number;
  #grantedAt = 0;
  #seam: Seam;
  #stream: ResumedStream | null = null;
  #answer: Answer | null = null;
  #hasBegun = false;

  constructor(view: RuntimeView, call: Call, options: RestOptions) {
    this.#view = view;
    this.#call = call;
    this.#options = options;
    this.#seam = options.next.first;
    this.#started = view.ports.clock.now();
  }

  /** The request that this place is to be asked. */
  async asked(place: Place): Promise<Asked> {
    const { wait, request, next } = this.#options;
    wait.granted();
    this.#grantedAt = this.#view.ports.clock.now();
    const { seam, tokens } = await new Prefill(this.#view, this.#call, place).fit(request, this.#seam);
    const sent = tokens ?? seam.pieces;
    const body = JSON.stringify(nextBody(request, seam, { tokens: sent, hasFinished: next.said.finish !== null }));
    this.#stream = createResumedStream({ said: next.said, seam, tokens: sent });
    return { ...place.asked, body };
  }

  answer(opened: Opened): Answer {
    this.#answer = answerOf(opened);
    return { place: opened.place, reader: this };
  }

  async read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array }> {
    while (this.#answer && this.#stream) {
      const { done, value } = await this.#answer.reader.read();
      if (done || !value) break;
      const text = this.#stream.push(value);
      if (this.#stream.hasDiverged()) await this.#startOver(this.#answer);
      if (text === "") continue;
      if (!this.#hasBegun && text.startsWith("data:")) this.#begin();
      return { done: false, value: ENCODER.encode(text) };
    }
    return { done: true };
  }

  async cancel(): Promise<void> {
    this.#options.wait.stop();
    await this.#answer?.reader.cancel();
  }

  #begin(): void {
    this.#hasBegun = true;
    this.#options.wait.stop();
    const firstTokenMs = this.#view.ports.clock.now() - this.#grantedAt;
    this.#options.onFirst({ loadMs: this.#grantedAt - this.#started, firstTokenMs });
  }

  /** The last word did not come again: it was sampled, and stays as it is. */
  async #startOver({ place, reader }: Answer): Promise<void> {
    await reader.cancel();
    const { whole } = this.#options.next;
    if (!whole || this.#seam === whole) throw new Error("its text cannot be gone on with");
    this.#seam = whole;
    const asked = await this.asked(place);
    const again = { ...place, asked };
    this.answer({ place: again, response: await ask(this.#view, this.#call, again) });
  }
}

const ENCODER = new TextEncoder();
