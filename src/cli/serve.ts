/** `synaptic serve`: listens at once, then probes, measures and preloads; ends everything on a signal. */
import type { Config } from "../core/config-types.ts";
import { Runtime } from "../engine/runtime.ts";
import { createApp } from "../http/app.ts";
import type { Host } from "./host.ts";

/** Open answers get this long to end after a signal. */
const GRACE_MS = 30_000;

/** Serves until a signal comes; returns the exit code. */
export async function serveCommand(host: Host, config: Config): Promise<number> {
  const ports = host.ports(config, "info");
  const runtime = new Runtime({ config, ports, version: host.version });
  const app = createApp(runtime);
  const listener = host.listen({ ...config.listen, fetch: (request) => app.fetch(request) });
  ports.log.info(`synaptic ${host.version} listens on ${listener.url}/v1`, { config: config.file ?? "none" });
  for (const warning of config.warnings) ports.log.warn(warning);
  const started = Promise.all([runtime.start(), tellWhatIsServed(runtime)]);
  await untilStopped(host.stopping);
  ports.log.info(isAnswering(runtime) ? ANSWERING : "stopping");
  const stopped = listener.stop(GRACE_MS);
  await runtime.close();
  await Promise.all([stopped, started]);
  return 0;
}

const ANSWERING = `stopping when the running answers have ended, at the latest in ${GRACE_MS / 1000} s; a second signal ends at once`;

function isAnswering(runtime: Runtime): boolean {
  return runtime.snapshot().coordinators.some(({ slots, queue }) => slots.busy + queue.length > 0);
}

const SHOWN_MODELS = 10;

/** A server that can serve nothing says so before the first request does. */
async function tellWhatIsServed({ config, catalog, ports: { log } }: Runtime): Promise<void> {
  if (config.sharding && config.backends.length === 0) {
    log.warn("No backends are configured: list your rpc-servers under rpc_backends in the config");
  }
  const { entries } = await catalog.survey();
  const ids = entries.filter(({ defect }) => defect === null).map(({ id }) => id);
  const more = ids.length > SHOWN_MODELS ? ` and ${ids.length - SHOWN_MODELS} more` : "";
  if (ids.length > 0) log.info(`serves ${ids.slice(0, SHOWN_MODELS).join(", ")}${more}`);
  else
    log.warn(
      "No models: `ollama pull` one, or name GGUF files under synaptic.models.files or folders under models.dirs",
    );
  const damaged = entries.filter(({ defect }) => defect !== null).length;
  if (damaged > 0)
    log.warn(`${damaged} ${damaged === 1 ? "model" : "models"} cannot be used: \`synaptic models\` says why`);
}

function untilStopped(stopping: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (stopping.aborted) return resolve();
    stopping.addEventListener("abort", () => resolve(), { once: true });
  });
}
