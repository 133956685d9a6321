/** The view that looks a sender up: asks, shows what came of it, and asks again. */

import { announce, byId, fill, quietLine } from "./dom.js";
import { failureBox, inWords } from "./failure.js";
import { Form } from "./form.js";
import { entriesOf } from "./path.js";
import { fromQuery, isEmpty, toBody, toQuery } from "./question.js";
import { result } from "./result.js";
import { plural } from "./text.js";
import { sentence, withWords } from "./words.js";

export class Lookup {
  /** @param {import("./api.js").Api} api @param {(query: string) => void} goTo changes the address of the page */
  constructor(api, goTo) {
    this.api = api;
    this.output = byId("result", HTMLElement);
    this.form = new Form((question) => this.submit(question, goTo));
    /** @type {AbortController | null} */
    this.running = null;
    this.shown = "";
  }

  /**
   * What the address of the page asks for.
   * @param {string} search
   */
  show(search) {
    if (search === this.shown) return;
    this.shown = search;
    const question = fromQuery(search);
    this.form.show(question);
    if (isEmpty(question)) {
      this.running?.abort();
      fill(this.output);
    } else {
      void this.run(question);
    }
  }

  title() {
    const question = fromQuery(this.shown);
    return isEmpty(question) ? "Look up" : question.sender || question.mime_from || question.reply_to || question.helo;
  }

  /** @param {Question} question @param {(query: string) => void} goTo */
  submit(question, goTo) {
    if (isEmpty(question)) {
      this.form.complain("Enter an address or a domain, or paste headers.");
      this.form.sender.focus();
      return;
    }
    this.form.complain("");
    const query = toQuery(question);
    // The same again is a question, too.
    const again = query === this.shown;
    this.shown = query;
    if (!again) goTo(query);
    void this.run(question, { focus: true });
  }

  /**
   * @param {Question} question
   * @param {{focus?: boolean, first?: () => Promise<string>}} [options] `first`: what to do before, and say after
   */
  async run(question, { focus = false, first } = {}) {
    this.running?.abort();
    const running = (this.running = new AbortController());
    this.output.setAttribute("aria-busy", "true");
    announce("Looking up.");
    if (!this.output.hasChildNodes()) fill(this.output, quietLine("Looking up…"));
    const body = toBody(question);
    try {
      const done = first ? await first() : "";
      const reply = await withWords(this.api.check(body, running.signal));
      if (running.signal.aborted) return;
      fill(this.output, result(reply, { ...this.#around(question, body), done }));
      announce([done, ...reply.domains.map(sentence)].filter(Boolean).join(". ") || "Nothing was looked up.");
    } catch (error) {
      if (running.signal.aborted) return;
      fill(this.output, failureBox(error, () => void this.run(question, { focus: true, first })));
    } finally {
      if (this.running === running) {
        this.output.removeAttribute("aria-busy");
        if (focus) /** @type {HTMLElement | null} */ (this.output.querySelector("h2, .failed"))?.focus();
      }
    }
  }

  /** @param {Question} question @param {CheckRequest} body */
  #around(question, body) {
    const url = new URL(toQuery(question), document.baseURI);
    url.hash = "";
    return {
      body,
      link: url.href,
      endpoint: new URL("v1/check?explain=1", document.baseURI).href,
      withToken: this.api.tokens.of("user") !== null,
      purge: (/** @type {string} */ layer, /** @type {string} */ key, /** @type {HTMLElement} */ told) =>
        void this.#purge(layer, key, told),
      again: () => void this.run(question, { focus: true }),
      fresh: (/** @type {CheckReply} */ reply) =>
        void this.run(question, { focus: true, first: () => this.#purgeAll(reply) }),
    };
  }

  /** @param {CheckReply} reply */
  async #purgeAll(reply) {
    const entries = entriesOf(reply.domains.flatMap((domain) => domain.trace ?? []));
    const [first, ...others] = entries;
    // One alone at first: it may have to ask for the token.
    if (first) await this.api.purge(first.layer, first.key);
    await Promise.all(others.map(({ layer, key }) => this.api.purge(layer, key)));
    return `Checked anew, ${plural(entries.length, "entry", "entries")} of the cache purged first`;
  }

  /** @param {string} layer @param {string} key @param {HTMLElement} told */
  async #purge(layer, key, told) {
    try {
      await this.api.purge(layer, key);
      fill(told, "purged");
    } catch (error) {
      fill(told, inWords(error).join(" "));
    }
  }
}

