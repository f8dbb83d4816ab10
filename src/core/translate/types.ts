/** What all translations between dialects have in common. Types only. */
import type { SynapticError } from "../errors.ts";

/** A request in another dialect, or why it has none. */
export type TranslatedRequest =
  | { readonly ok: true; readonly path: string; readonly body: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly error: SynapticError };

/** Turns an upstream's stream into the client's dialect, piece by piece; one per answer. */
export interface StreamTranslator {
  /** What the client gets for these bytes of the upstream; empty when nothing yet. */
  push(bytes: Uint8Array): string;
  /** What is due after the upstream's last byte: the end of the client's stream, or the error of one that ended early. */
  end(): string;
  /** The client's form of an error after bytes went out; nothing may follow it. */
  fail(error: SynapticError): string;
  /** Keeps the client waiting without meaning anything. */
  keepAlive(): string;
  /** What the client's stream ended with, of whoever's fault; null while it goes on, and after a good end. */
  failure(): SynapticError | null;
}
