/** A button that copies text, and says whether it did. */

import { button, el, fill } from "./dom.js";

/** @param {string} label @param {string} text */
export function copyButton(label, text) {
  const told = el("span", { role: "status", class: "quiet" });
  const copy = async () => {
    fill(told, (await copied(text)) ? "copied" : "The browser does not allow it; select the text instead.");
  };
  return el("span", { class: "copy" }, button(label, () => void copy()), told);
}

/** @param {string} text */
async function copied(text) {
  // Over plain HTTP there is no clipboard but the old way to it, and that is how many reach the service.
  if (!navigator.clipboard) return copiedBySelection(text);
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedBySelection(text);
  }
}

/** @param {string} text */
function copiedBySelection(text) {
  const focused = document.activeElement;
  const area = document.createElement("textarea");
  area.className = "unseen";
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return done;
}
