/** Stands before a real llama-server in the benchmark: passes all on to it, but answers at a known rate when asked to. */
import { preciseNow } from "./bench-client.ts";
import { freePort } from "./local-backends.ts";

/** A request with this field is answered here; synaptic passes unknown fields through. */
export interface SyntheticRate {
  readonly events: number;
  readonly everyMs: number;
}

/** The real program's path, for this program's eyes only. */
export const REAL_SERVER = "BENCH_LLAMA_SERVER";

/** About as long as llama-server's own event of one token. */
function eventOf(id: number): string {
  const chunk = {
    choices: [{ finish_reason: null, index: 0, delta: { content: " word" } }],
    created: 1_700_000_000,
    id: `chatcmpl-${id}`,
    object: "chat.completion.chunk",
    stamp: preciseNow(),
  };
  return `data: ${JSON.stringify(chunk)}\n\n`;
}

/** One event per write, each with the time of its writing. */
function speak({ events, everyMs }: SyntheticRate): Response {
  const body = new ReadableStream({
    type: "direct",
    async pull(out) {
      for (let id = 0; id < events; id++) {
        if (id > 0) await Bun.sleep(everyMs);
        out.write(eventOf(id));
        out.flush();
      }
      out.write("data: [DONE]\n\n");
      out.close();
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

function syntheticRate(text: string): SyntheticRate | null {
  const body: unknown = text.startsWith("{") ? JSON.parse(text) : null;
  if (typeof body !== "object" || body === null || !("synthetic" in body)) return null;
  // Our own bench sent it.
  return body.synthetic as SyntheticRate;
}

async function answer(request: Request, realPort: number): Promise<Response> {
  const text = request.method === "POST" ? await request.text() : "";
  const rate = syntheticRate(text);
  if (rate) return speak(rate);
  const { pathname, search } = new URL(request.url);
  const { method, headers, signal } = request;
  return await fetch(`http://127.0.0.1:${realPort}${pathname}${search}`, {
    method,
    headers,
    ...(method === "POST" && { body: text }),
    signal,
  });
}

if (import.meta.main) {
  const args = process.argv.slice(2);
  const at = args.indexOf("--port") + 1;
  const port = Number(args[at]);
  const realPort = freePort();
  const command = [process.env[REAL_SERVER] ?? "llama-server", ...args.with(at, String(realPort))];
  // The real one has our stdin, on which synaptic tells it to end, and our output, from which synaptic takes the proof.
  const real = Bun.spawn(command, { stdin: "inherit", stdout: "inherit", stderr: "inherit" });
  process.on("SIGTERM", () => real.kill("SIGTERM"));
  Bun.serve({ hostname: "127.0.0.1", port, idleTimeout: 0, fetch: (request) => answer(request, realPort) });
  process.exit(await real.exited);
}
