/** Kinds of verdicts, best first: the order of plots and tables. */
export const KINDS = /** @type {const} */ (["good", "neutral", "unknown", "bad"]);
