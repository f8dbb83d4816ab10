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
  const started = runtime.start();
  await untilStopped(host.stopping);
  ports.log.info("stopping: waiting for running answers", { atMost: "30 s", hint: "a second signal ends at once" });
  const stopped = listener.stop(GRACE_MS);
  await runtime.close();
  await Promise.all([stopped, started]);
  return 0;
}

function untilStopped(stopping: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (stopping.aborted) return resolve();
    stopping.addEventListener("abort", () => resolve(), { once: true });
  });
}
