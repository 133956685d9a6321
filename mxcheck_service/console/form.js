/** The form of a look-up: what stands in it, and what pasted headers put into it. */

import { byId } from "./dom.js";
import { fromHeaders } from "./headers.js";
import { FIELDS } from "./question.js";

export class Form {
  /** @param {(question: Question) => void} onSubmit */
  constructor(onSubmit) {
    this.sender = byId("sender", HTMLInputElement);
    this.headers = byId("headers", HTMLTextAreaElement);
    this.onSubmit = onSubmit;
    byId("question", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      onSubmit(this.question());
    });
    byId("read-headers", HTMLButtonElement).addEventListener("click", () => this.#read(this.headers.value));
    this.sender.addEventListener("paste", (event) => {
      const text = event.clipboardData?.getData("text/plain") ?? "";
      // A line would lose its ends here. An address has none inside.
      if (!/\S\s*\n\s*\S/.test(text)) return;
      event.preventDefault();
      byId("paste", HTMLDetailsElement).open = true;
      this.headers.value = text;
      this.#read(text);
    });
  }

  question() {
    const texts = FIELDS.map((name) => [name, field(name).value]);
    return { ...Object.fromEntries(texts), authenticated: byId("authenticated", HTMLInputElement).checked };
  }

  /** @param {Question} question */
  show(question) {
    for (const name of FIELDS) field(name).value = question[name];
    byId("authenticated", HTMLInputElement).checked = question.authenticated;
    const more = FIELDS.some((name) => name !== "sender" && question[name]) || question.authenticated;
    if (more) byId("more", HTMLDetailsElement).open = true;
    this.complain("");
  }

  /**
   * Say what is wrong with what was entered; nothing takes it back.
   * @param {string} text
   */
  complain(text) {
    byId("complaint", HTMLElement).textContent = text;
  }

  /** @param {string} text */
  #read(text) {
    const question = fromHeaders(text);
    if (!question) {
      this.complain("These are no headers that tell a sender: there is no From, Reply-To, Return-Path or Received.");
      this.headers.focus();
      return;
    }
    this.show(question);
    this.onSubmit(question);
  }
}

/** @param {string} name */
function field(name) {
  return /** @type {HTMLInputElement | HTMLTextAreaElement} */ (byId(name, HTMLElement));
}
