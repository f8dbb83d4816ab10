/** Snapshots, plans and proofs as text for people. Pure. */
import type { Plan } from "../core/plan-types.ts";
import type { Proof } from "../core/proof.ts";
import type { BackendSnapshot, CoordinatorSnapshot, NodeSnapshot, QueueSnapshot, Snapshot } from "../core/snapshot.ts";
import { formatSpeed } from "../core/speed-book.ts";
import { formatBytes, formatDuration } from "../core/units.ts";

type Cell = string | number;

/** A number with its unit, or the dash that stands where there is none. */
const QUANTITY = /^(?:-|-?\d+(?:\.\d+)?(?: (?:[KMGT]i)?B| ms| GB\/s)?)$/;

/** Columns as wide as their widest cell; quantities to the right. */
export function table(header: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const all = [header, ...rows];
  const text = (row: readonly Cell[], column: number) => String(row[column] ?? "");
  const widths = header.map((_, column) => Math.max(...all.map((row) => text(row, column).length)));
  const numeric = header.map(
    (_, column) =>
      rows.every((row) => QUANTITY.test(text(row, column))) && rows.some((row) => text(row, column) !== "-"),
  );
  const line = (row: readonly Cell[]) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return numeric[column] ? String(cell).padStart(width) : String(cell).padEnd(width);
      })
      .join("  ")
      .trimEnd();
  return `${all.map(line).join("\n")}\n`;
}

export function renderBackends(backends: readonly BackendSnapshot[]): string {
  if (backends.length === 0) return "No backends are configured (rpc_backends)\n";
  const rows = backends.map(({ endpoint, state, protocol, rttMs, devices, lease, reason, speed }) => [
    endpoint,
    state,
    protocol ?? "-",
    rttMs === null ? "-" : `${rttMs.toFixed(1)} ms`,
    devices.map(({ kind }) => kind).join(", ") || "-",
    devices.length === 0 ? "-" : formatBytes(devices.reduce((sum, device) => sum + device.freeBytes, 0)),
    speed ? formatSpeed(speed.bytesPerSecond) : "-",
    lease ? `held for ${lease}` : reason,
  ]);
  return table(["BACKEND", "STATE", "RPC", "RTT", "DEVICES", "FREE", "SPEED", ""], rows);
}

/** A table; empty without nodes. */
export function renderNodes(nodes: readonly NodeSnapshot[]): string {
  if (nodes.length === 0) return "";
  const rows = nodes.map(({ url, state, version, rttMs, models, loaded, reason }) => [
    url,
    state,
    version ?? "-",
    rttMs === null ? "-" : `${rttMs.toFixed(1)} ms`,
    models.length,
    loaded.map(({ name }) => name).join(", ") || "-",
    reason,
  ]);
  return table(["OLLAMA NODE", "STATE", "VERSION", "RTT", "MODELS", "LOADED", ""], rows);
}

const SHARE_HEADER = ["WHERE", "LAYERS", "MODEL", "KV CACHE", "COMPUTE"];

export function renderPlan(plan: Plan): string {
  const { tokensPerSecond } = plan.estimate;
  const speed = tokensPerSecond === null ? "" : `estimated ${tokensPerSecond.toFixed(1)} tokens/s for one stream\n`;
  return `${describeSize(plan)}\n${speed}\n${table(SHARE_HEADER, shareRows(plan))}`;
}

export function describeSize(plan: Plan): string {
  const { model, placement, totalLayers, contextSize, contextPerSlot, parallel, kvType, head } = plan;
  const placed = plan.offloadedLayers + (head.layers ?? 0);
  const slots =
    parallel === 1
      ? "1 slot"
      : `${parallel} slots that share it (up to ${contextPerSlot.alone} for one alone, ${contextPerSlot.even} each when all are full)`;
  return `${model}: ${placed} of ${totalLayers} layers placed (${placement}), context ${contextSize} tokens, ${slots}, KV ${kvType}`;
}

function shareRows({ backends, head }: Pick<Plan, "backends" | "head">): readonly (readonly Cell[])[] {
  const remote = backends.flatMap((backend) => {
    if (backend.devices.length < 2) return [[backend.endpoint, ...shareCells(backend)]];
    return backend.devices.map((device) => [`${backend.endpoint} device ${device.index}`, ...shareCells(device)]);
  });
  const local = head.devices.map((device) => [`head node ${device.name}`, ...shareCells(device)]);
  const { layers = "-", kvBytes, projectorBytes, draftBytes } = head;
  const kv = kvBytes === undefined ? "-" : formatBytes(kvBytes);
  const rest = ["head node", layers, formatBytes(head.modelBytes), kv, formatBytes(head.computeBytes)];
  const besides = (what: string, bytes: number | undefined) =>
    bytes === undefined ? [] : [[`head node's ${what}`, "-", formatBytes(bytes), "-", "-"]];
  return [...remote, ...local, rest, ...besides("projector", projectorBytes), ...besides("draft model", draftBytes)];
}

interface Share {
  readonly layers: number;
  readonly modelBytes: number;
  readonly kvBytes: number;
  readonly computeBytes: number;
}

function shareCells({ layers, modelBytes, kvBytes, computeBytes }: Share): readonly Cell[] {
  return [layers, formatBytes(modelBytes), formatBytes(kvBytes), formatBytes(computeBytes)];
}

/** Plan against proof, a row per backend: what was planned, and what the engine's own log shows. */
export function renderProof(plan: Plan, proof: Proof): string {
  const rows = plan.backends.map((planned, index) => {
    const seen = proof.backends[index];
    return [
      planned.endpoint,
      `${planned.layers} / ${seen?.layers ?? 0}`,
      `${formatBytes(planned.modelBytes)} / ${formatBytes(seen?.modelBytes ?? 0)}`,
      `${formatBytes(planned.kvBytes)} / ${formatBytes(seen?.kvBytes ?? 0)}`,
      `${formatBytes(planned.computeBytes)} / ${formatBytes(seen?.computeBytes ?? 0)}`,
    ];
  });
  const { layers, kvBytes } = plan.head;
  const head = [
    "head node",
    layers === undefined ? "-" : `${layers} / ${proof.head.layers ?? 0}`,
    `${formatBytes(plan.head.modelBytes)} / ${formatBytes(proof.head.modelBytes)}`,
    kvBytes === undefined ? "-" : `${formatBytes(kvBytes)} / ${formatBytes(proof.head.kvBytes ?? 0)}`,
    `${formatBytes(plan.head.computeBytes)} / ${formatBytes(proof.head.computeBytes)}`,
  ];
  const header = ["PLANNED / SEEN", "LAYERS", "MODEL", "KV CACHE", "COMPUTE (reserved)"];
  return table(header, [...rows, head]);
}

export function renderStatus(snapshot: Snapshot): string {
  const lines = [`synaptic ${snapshot.version}, ${snapshot.ready ? "ready" : "starting"}, since ${snapshot.startedAt}`];
  const { freeBytes, totalBytes } = snapshot.head;
  lines.push(`head node: ${formatBytes(freeBytes)} of ${formatBytes(totalBytes)} free`);
  if (snapshot.engine) lines.push(`llama-server ${snapshot.engine.version} (${snapshot.engine.path})`);
  if (snapshot.engineFailure) lines.push(`no llama-server: ${snapshot.engineFailure}`);
  const { inFlight, limit } = snapshot.requests;
  lines.push(`${inFlight} of at most ${limit} requests in flight`);
  const nodes = renderNodes(snapshot.nodes);
  const parts = [
    `${lines.join("\n")}\n`,
    renderBackends(snapshot.backends),
    nodes,
    renderCoordinators(snapshot.coordinators),
  ];
  return parts.filter((part) => part !== "").join("\n");
}

function queueCell({ length, estimateMs }: QueueSnapshot): Cell {
  return estimateMs === undefined ? length : `${length}, ~${formatDuration(estimateMs)}`;
}

function renderCoordinators(coordinators: readonly CoordinatorSnapshot[]): string {
  if (coordinators.length === 0) return "No model is loaded; a request loads it\n";
  const rows = coordinators.map((coordinator) => {
    const { model, slots, queue, tokensPerSecond, proof, lastFailure } = coordinator;
    return [
      model,
      stateCell(coordinator),
      `${slots.busy}/${slots.total}`,
      queueCell(queue),
      tokensPerSecond === null ? "-" : tokensPerSecond.toFixed(1),
      proof?.proven ? "proven" : "-",
      describeStay(coordinator),
      lastFailure ?? "",
    ];
  });
  return table(["MODEL", "STATE", "SLOTS", "QUEUE", "TOKENS/S", "SHARDING", "STAYS", "LAST FAILURE"], rows);
}

/** Without the date: who looks wants to know how soon. */
function describeStay({ pinned, keepUntil }: CoordinatorSnapshot): string {
  if (pinned) return "pinned";
  return keepUntil === null ? "-" : `until ${keepUntil.slice(11, 19)} UTC`;
}

/** `starting 61 %, 12.0 s left`. */
function stateCell({ state, phase, progress, etaMs, drainingFor }: CoordinatorSnapshot): string {
  if (phase === "queued") return "waits for room";
  if (drainingFor !== null) return `${state} for ${drainingFor}`;
  const done = progress === null ? "" : ` ${Math.round(progress * 100)} %`;
  return `${state}${done}${etaMs === null ? "" : `, ${formatDuration(etaMs)} left`}`;
}
