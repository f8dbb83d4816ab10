/** Runs a piece of a test without root's right to read everything. */

const NOBODY = 65_534;

/** As it is for an ordinary user; for root, with the effective user `nobody` until `work` has ended. Not for tests side by side. */
export async function asOrdinaryUser<T>(work: () => Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0 || !process.seteuid) return await work();
  process.seteuid(NOBODY);
  try {
    return await work();
  } finally {
    process.seteuid(0);
  }
}
