/** Asks the service, with the token that an endpoint wants, and tells in words why it did not answer. */

import { Tokens } from "./tokens.js";

const LONGEST_MS = 60_000;

/** Why there is no answer: what happened, and what to do. */
export class Failure extends Error {
  /**
   * @param {string} message
   * @param {string} advice
   * @param {number} status 0: there was no reply
   * @param {any} document of the reply, if it has one
   */
  constructor(message, advice, status, document = null) {
    super(message);
    this.advice = advice;
    this.status = status;
    /** @type {any} */
    this.document = document;
  }
}

export class Api {
  /** @param {Tokens} tokens */
  constructor(tokens) {
    this.tokens = tokens;
  }

  /** @param {CheckRequest} body @param {AbortSignal} signal @returns {Promise<CheckReply>} */
  check(body, signal) {
    const headers = { "Content-Type": "application/json" };
    return this.#json("v1/check?explain=1", "user", { method: "POST", headers, body: JSON.stringify(body), signal });
  }

  /** @param {AbortSignal} signal @returns {Promise<Stats>} */
  stats(signal) {
    return this.#json("v1/stats", "user", { signal });
  }

  /** @returns {Promise<Stats>} */
  settings() {
    return this.#json("v1/stats?settings=1", "user", {});
  }

  /** @returns {Promise<Words>} */
  words() {
    return this.#json("console/words.json", "nobody", {});
  }

  /** @returns {Promise<Reloaded>} */
  reload() {
    return this.#json("-/reload", "admin", { method: "POST" });
  }

  /** @param {string} layer @param {string} key */
  async purge(layer, key) {
    await this.#ask(`v1/cache/${layer}/${encodeURIComponent(key)}`, "admin", { method: "DELETE" });
  }

  /** @param {string} path @param {Who | "nobody"} who @param {RequestInit} options */
  async #json(path, who, options) {
    const response = await this.#ask(path, who, options);
    try {
      return await response.json();
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw new Failure("The reply cannot be read.", "Look at what stands between this page and the service.", response.status);
    }
  }

  /**
   * Ask until there is a reply, or nobody has a token that is taken.
   * @param {string} path
   * @param {Who | "nobody"} who
   * @param {RequestInit} options
   */
  async #ask(path, who, options) {
    for (;;) {
      const token = who === "nobody" ? null : this.tokens.of(who);
      const response = await send(path, token, options);
      if (response.ok) return response;
      if (response.status !== 401 || who === "nobody") throw await failure(response);
      if (!(await this.tokens.ask(who, token))) {
        throw new Failure("A token is needed.", "Try again, and enter the token that is set for the service.", 401);
      }
    }
  }
}

/** @param {string} path @param {string | null} token @param {RequestInit} options */
async function send(path, token, options) {
  const headers = new Headers(options.headers);
  // Octets, as the service reads them; a header takes no other characters.
  if (token) headers.set("Authorization", `Bearer ${String.fromCharCode(...new TextEncoder().encode(token))}`);
  const longest = AbortSignal.timeout(LONGEST_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, longest]) : longest;
  try {
    return await fetch(path, { ...options, headers, signal, cache: "no-store", credentials: "same-origin" });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Failure("The service does not answer.", "See whether it runs and whether this machine reaches it, then try again.", 0);
  }
}

/** @param {Response} response */
async function failure(response) {
  /** @type {Problem} */
  const problem = await response.json().catch(() => ({}));
  const { status } = response;
  const wrong = (problem.errors ?? []).map((error) => `${error.field}: ${error.message}`);
  const what = [problem.title ?? response.statusText, problem.detail].filter(Boolean).join(": ");
  const message = [`${status} ${what}`.trim(), ...wrong].join("; ");
  return new Failure(message, advice(status, response.headers.get("Retry-After")), status, problem);
}

/** @param {number} status @param {string | null} after seconds */
function advice(status, after) {
  if (status === 503) return `Try again in ${/^\d+$/.test(after ?? "") ? after : "a few"} s.`;
  if (status === 422) return "Mend what is named, and look up again.";
  if (status === 413) return "Leave out some of it.";
  return status >= 500 ? "The log of the service has the details." : "";
}
