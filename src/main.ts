/** The composition root: joins the world (io/) with the commands (cli/), and sets the exit code. */
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { version as packageVersion } from "../package.json";
import type { Host } from "./cli/host.ts";
import { runProgram } from "./cli/program.ts";
import type { Config } from "./core/config-types.ts";
import type { Ports } from "./engine/ports.ts";
import { clock } from "./io/clock.ts";
import { loadConfig } from "./io/config-file.ts";
import { requestUpstream } from "./io/http-client.ts";
import { listen } from "./io/http-server.ts";
import { createLlamaPort } from "./io/llama-process.ts";
import { createLogger } from "./io/log.ts";
import { readMemory } from "./io/memory.ts";
import { createExaminer } from "./io/model-examiner.ts";
import { listModelFiles } from "./io/model-files.ts";
import { createModelReader } from "./io/model-reader.ts";
import { pollNode, unloadFromNode } from "./io/ollama-client.ts";
import { createStoreLister } from "./io/ollama-store.ts";
import { handleOutputErrors, handleSignals, raiseFetchLimit } from "./io/process.ts";
import { readProjector } from "./io/projector-file.ts";
import { random } from "./io/random.ts";
import { saveReport } from "./io/report-file.ts";
import { openSentinel, probeBackend } from "./io/rpc-client.ts";
import { createStateFiles } from "./io/state-file.ts";
import { createTimingModel } from "./io/timing-model-file.ts";

/** Stamped by scripts/build.ts; absent when run from the sources. */
declare const SYNAPTIC_VERSION: string | undefined;

raiseFetchLimit();
handleOutputErrors();

const reader = createModelReader();
const home = homedir();
const system = { platform: process.platform, home, root: "/" };
const models = {
  read: reader.read,
  projector: readProjector,
  examine: createExaminer({ reader }),
  list: listModelFiles,
  stored: createStoreLister({ machine: system, reader }),
};

const host: Host = {
  version: typeof SYNAPTIC_VERSION === "undefined" ? `${packageVersion}+source` : SYNAPTIC_VERSION,
  write: (text) => void process.stdout.write(text),
  talk: (text) => void process.stderr.write(text),
  loadConfig: ({ path, flags, serving }) =>
    loadConfig({
      ...(path !== undefined && { path }),
      flags,
      env: process.env,
      home,
      cwd: process.cwd(),
      serving,
    }),
  absolute: (path) => (path.startsWith("~/") ? join(home, path.slice(2)) : resolve(path)),
  ports: (config: Config, level) => {
    const log = createLogger(level);
    return {
      clock,
      log,
      rpc: { probe: probeBackend, openSentinel },
      llama: createLlamaPort(config.llamaServer, process.env),
      models,
      ollama: { poll: pollNode, unload: unloadFromNode },
      http: { request: requestUpstream },
      random,
      machine: { memory: readMemory },
      state: createStateFiles({ env: process.env, home, log }),
      timingModel: createTimingModel(process.env),
    } satisfies Ports;
  },
  listen,
  stopping: handleSignals(),
  saveReport,
};

const code = await runProgram(host, process.argv.slice(2));
// It is 1 already when the answer could not be written.
process.exitCode ||= code;
