/** What llama-server's `/slots` says of work done. Pure. */

const WORK = /"(?:id_task|n_prompt_tokens_processed|n_decoded)":\s*\d+/g;

/** Differs from one reading to the next as long as a slot reads a prompt or writes an answer (0.7.0). */
export function slotsPulse(text: string): string {
  return (text.match(WORK) ?? []).join();
}
