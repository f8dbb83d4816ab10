/** A llama-server by script: its child prints, becomes healthy, answers, exits and ignores signals as told. */
import type { SynapticError } from "../../src/core/errors.ts";
import type { EngineFacts } from "../../src/core/snapshot.ts";
import type { HttpPort, HttpRequest, LlamaChild, LlamaPort, LlamaSpawn } from "../../src/engine/ports.ts";

export const ENGINE: EngineFacts = {
  path: "/usr/bin/llama-server",
  version: "0.7.0",
  build: 11669,
  protocol: { major: 8, minor: 0 },
  localDevices: [],
};

/** What `/completion` answers. */
export const CANARY = JSON.stringify({ content: "Synaptic", timings: { predicted_per_second: 42.5 } });

type Answer = () => Promise<Response>;

export class FakeChild implements LlamaChild {
  readonly pid: number;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly signals: string[] = [];
  /** Set to have SIGTERM ignored, as while a backend hangs. */
  deaf = false;
  /** `/health` answers 200. */
  healthy = false;
  alive = true;
  completion: Answer = async () => new Response(CANARY);
  readonly #launch: LlamaSpawn;
  readonly #gone = Promise.withResolvers<never>();

  constructor(pid: number, launch: LlamaSpawn) {
    this.pid = pid;
    this.args = launch.args;
    this.env = launch.env;
    this.#launch = launch;
    // Nobody may be asking when it exits.
    this.#gone.promise.catch(() => {});
  }

  valueOf(flag: string): string {
    return this.args[this.args.indexOf(flag) + 1] ?? "";
  }

  say(...lines: readonly string[]): void {
    for (const line of lines) this.#launch.onLine(line);
  }

  /** Prints, and answers `/health` from then on. */
  load(lines: readonly string[]): void {
    this.say(...lines);
    this.healthy = true;
  }

  exit(code: number | null, signal: string | null = null): void {
    if (!this.alive) return;
    this.breakConnections();
    this.#launch.onExit({ code, signal, lastLines: [] });
  }

  /** What happens some 20 ms before a dying one is seen to exit. */
  breakConnections(): void {
    this.alive = false;
    this.#gone.reject(new Error("The socket connection was closed unexpectedly"));
  }

  /** Its end after its connections were broken. */
  exitLate(code: number): void {
    this.#launch.onExit({ code, signal: null, lastLines: [] });
  }

  kill(signal: "SIGTERM" | "SIGKILL"): void {
    this.signals.push(signal);
    if (signal === "SIGKILL") this.exit(null, "SIGKILL");
    else if (!this.deaf) this.exit(0);
  }

  /** What a request to its port gets. */
  async answer(path: string, { signal }: HttpRequest): Promise<Response> {
    signal.throwIfAborted();
    if (!this.alive) throw new Error("Unable to connect");
    if (path === "/health") return new Response("", { status: this.healthy ? 200 : 503 });
    const cancelled = new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    return await Promise.race([this.completion(), this.#gone.promise, cancelled]);
  }
}

export class FakeLlama implements LlamaPort, HttpPort {
  readonly children: FakeChild[] = [];
  /** Requests in order, as `METHOD path`. */
  readonly requests: string[] = [];
  environment: Readonly<Record<string, string | undefined>> = { PATH: "/usr/bin" };
  facts: EngineFacts | SynapticError = ENGINE;
  spawnError: SynapticError | null = null;
  /** Set to hold up `freePort()`. */
  portGate: Promise<void> = Promise.resolve();
  /** What becomes of each child at once; by default nothing, so that the test tells it. */
  onSpawn: (child: FakeChild) => void = () => {};
  #ports = 20_000;

  get child(): FakeChild {
    const last = this.children.at(-1);
    if (!last) throw new Error("nothing was spawned");
    return last;
  }

  async engines(): Promise<readonly EngineFacts[]> {
    if (this.facts instanceof Error) throw this.facts;
    return [this.facts];
  }

  async freePort(): Promise<number> {
    await this.portGate;
    return ++this.#ports;
  }

  spawn(launch: LlamaSpawn): LlamaChild {
    if (this.spawnError) throw this.spawnError;
    const child = new FakeChild(1_000 + this.children.length, launch);
    this.children.push(child);
    // Like the real one, it says nothing before `spawn()` has returned.
    queueMicrotask(() => this.onSpawn(child));
    return child;
  }

  async request(url: string, request: HttpRequest): Promise<Response> {
    const { port, pathname } = new URL(url);
    this.requests.push(`${request.method} ${pathname}`);
    const child = this.children.find((each) => each.valueOf("--port") === port);
    if (!child) throw new Error("Unable to connect");
    return await child.answer(pathname, request);
  }
}
