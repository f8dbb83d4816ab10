/** What an answer is called. Types only. */

export interface AnswerIdentity {
  /** Letters and digits, unlike those of any other answer; each dialect puts its own mark in front. */
  readonly id: string;
  /** As the client wrote it. */
  readonly model: string;
  /** Unix time in seconds. */
  readonly createdS: number;
}
