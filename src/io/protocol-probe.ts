/** Measures which RPC protocol a llama-server speaks: it is led to a listener of ours that claims one version after another. */
import type { TCPSocketListener } from "bun";
import { answerClient, nextOffer, type ProtocolVersion, type Trial } from "../core/protocol-search.ts";
import { describeFailedRun, type EngineRunOptions, startEngine } from "./engine-run.ts";

/** HELLO with its next command: 33 + 9 bytes. More is not needed to judge. */
const RECEIVE_LIMIT_BYTES = 64;

/**
 * The newest protocol that the engine takes from a server; null when it never says (it calls nobody, or refuses all).
 * Two spawns for a known major, each under `deadlineMs`.
 * @throws SynapticError `coordinator_failed` when it was built without RPC or crashes, `coordinator_timeout` when it hangs.
 */
export async function measureProtocol(path: string, options: EngineRunOptions): Promise<ProtocolVersion | null> {
  const trials: Trial[] = [];
  for (;;) {
    const step = nextOffer(trials);
    if (step.tag === "found") return step.version;
    if (step.tag === "unknown") return null;
    const accepted = await offerVersion(path, step.version, options);
    if (accepted === null) return null;
    trials.push({ offered: step.version, accepted });
  }
}

/** Null when the engine ended in peace without a HELLO. */
async function offerVersion(
  path: string,
  offered: ProtocolVersion,
  options: EngineRunOptions,
): Promise<boolean | null> {
  const trap = openTrap(offered);
  try {
    const args = ["--rpc", `127.0.0.1:${trap.listener.port}`, "--list-devices"];
    const engine = startEngine(path, args, options);
    const first = await Promise.race([trap.accepted, engine.finished]);
    if (first === "accepted") {
      // It waits for a device count that will not come.
      engine.kill();
      await engine.finished;
      return true;
    }
    if (trap.greeted()) return false;
    if (first.exitCode === 0) return null;
    throw describeFailedRun(path, first);
  } finally {
    trap.listener.stop(true);
  }
}

interface Caller {
  received: Uint8Array;
}

interface Trap {
  readonly listener: TCPSocketListener<Caller>;
  /** Settles once a client goes on after our HELLO reply. */
  readonly accepted: Promise<"accepted">;
  /** Whether a HELLO was answered. */
  greeted(): boolean;
}

function openTrap(offered: ProtocolVersion): Trap {
  const { promise, resolve } = Promise.withResolvers<"accepted">();
  let greeted = false;
  const listener = Bun.listen<Caller>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { received: new Uint8Array() };
      },
      data(socket, chunk) {
        const { data } = socket;
        data.received = Buffer.concat([data.received, chunk]).subarray(0, RECEIVE_LIMIT_BYTES);
        const turn = answerClient(data.received, offered);
        if (turn.tag === "alien") socket.terminate();
        if (turn.tag === "accepted") resolve("accepted");
        if (turn.tag !== "reply") return;
        greeted = true;
        socket.write(turn.bytes);
      },
    },
  });
  return { listener, accepted: promise, greeted: () => greeted };
}
