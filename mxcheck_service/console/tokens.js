/** The tokens that endpoints ask for: kept for this tab, and asked for in a dialog. */

import { byId } from "./dom.js";

const KEY = "mxcheck-token-";
const TITLE = { user: "A token is needed", admin: "The admin token is needed" };
const WHICH = {
  user: "The service answers those who have its token (server.auth_token).",
  admin: "The cache and the reload are the operator's (server.admin_token, or else server.auth_token).",
};

export class Tokens {
  constructor() {
    this.onChange = () => {};
    /** @type {Promise<boolean> | null} */
    this.asking = null;
  }

  /**
   * The token to send. Without an admin token the operator's endpoints take the other one.
   * @param {Who} who
   */
  of(who) {
    const own = sessionStorage.getItem(KEY + who);
    return own === null && who === "admin" ? sessionStorage.getItem(`${KEY}user`) : own;
  }

  get any() {
    return this.of("admin") !== null;
  }

  forget() {
    sessionStorage.removeItem(`${KEY}user`);
    sessionStorage.removeItem(`${KEY}admin`);
    this.onChange();
  }

  /**
   * Ask for a token after one was refused; false when nobody gives any.
   * @param {Who} who
   * @param {string | null} refused
   */
  async ask(who, refused) {
    // Requests that wait for the same token need one dialog, and those for the other one come after it.
    while (this.asking) if (!(await this.asking)) return false;
    if (this.of(who) !== refused) return true;
    this.asking = this.#dialog(who, sessionStorage.getItem(KEY + who) !== null);
    try {
      return await this.asking;
    } finally {
      this.asking = null;
    }
  }

  /** @param {Who} who @param {boolean} again one that was entered for this was refused */
  #dialog(who, again) {
    const dialog = byId("token-dialog", HTMLDialogElement);
    const input = byId("token", HTMLInputElement);
    const form = byId("token-form", HTMLFormElement);
    byId("token-title", HTMLElement).textContent = TITLE[who];
    byId("token-which", HTMLElement).textContent = WHICH[who];
    byId("token-refused", HTMLElement).textContent = again ? "The service does not take the token that was entered." : "";
    input.value = "";
    dialog.returnValue = "";
    dialog.showModal();
    return new Promise((resolve) => {
      form.onsubmit = (event) => {
        event.preventDefault();
        dialog.close("given");
      };
      byId("token-cancel", HTMLButtonElement).onclick = () => dialog.close("");
      dialog.onclose = () => {
        const token = input.value.trim();
        input.value = "";
        const given = dialog.returnValue === "given" && token !== "";
        if (given) sessionStorage.setItem(KEY + who, token);
        this.onChange();
        resolve(given);
      };
    });
  }
}
