/** Shows why something did not work, and what to do. */

import { Failure } from "./api.js";
import { announce, button, el } from "./dom.js";

/** @param {unknown} error @param {(() => void) | null} again */
export function failureBox(error, again) {
  if (!(error instanceof Failure)) console.error(error);
  const [what, advice] = inWords(error);
  announce(`${what} ${advice}`);
  return el(
    "div",
    { class: "notice failed", role: "group", "aria-label": "What went wrong", tabindex: "-1" },
    el("p", null, el("strong", null, what)),
    advice ? el("p", null, advice) : null,
    again && button("Try again", again, { "data-key": "again" }),
  );
}

/** @param {unknown} error */
export function inWords(error) {
  if (error instanceof Failure) return [error.message, error.advice];
  return ["A defect of this page.", "The console of the browser has the details."];
}
