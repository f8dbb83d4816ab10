/** Randomness that nobody can guess. */

export const random = {
  /** 256 bits in hex. */
  token: () => Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex"),
};
