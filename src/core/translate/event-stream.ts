/** Writes server-sent events with a name, as Anthropic's and the Responses API have them. Pure. */
export type NamedEvent = Readonly<Record<string, unknown>> & { readonly type: string };

/** The name is the type: Anthropic's SDK passes over an event without the line (facts/clients.md 2a). */
export function namedEvent(data: NamedEvent): string {
  return `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;
}
