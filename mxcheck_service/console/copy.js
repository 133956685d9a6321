/** A button that copies text, and says whether it did. */

import { button, el, fill } from "./dom.js";

/** @param {string} label @param {string} text */
export function copyButton(label, text) {
  const told = el("span", { role: "status", class: "quiet" });
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      fill(told, "copied");
    } catch {
      // Nor is there a clipboard for pages that came over plain HTTP from another machine.
      fill(told, "The browser does not allow it; select the text instead.");
    }
  };
  return el("span", { class: "copy" }, button(label, () => void copy()), told);
}
