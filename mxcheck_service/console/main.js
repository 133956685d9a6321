/** Which view is shown: as the address of the page says, so that links and the browser's buttons work. */

import { Api } from "./api.js";
import { byId, fill } from "./dom.js";
import { Lookup } from "./lookup.js";
import { Now } from "./now.js";
import { Settings } from "./settings.js";
import { visible } from "./text.js";
import { Tokens } from "./tokens.js";
import * as words from "./words.js";

const VIEWS = /** @type {const} */ (["lookup", "now", "settings"]);
const TITLES = { now: "Now", settings: "Settings" };

const tokens = new Tokens();
const api = new Api(tokens);
const now = new Now(api);
const settings = new Settings(api);
const lookup = new Lookup(api, (query) => {
  history.pushState(null, "", query);
  retitle();
});
let shown = "";

function wanted() {
  const name = location.hash.slice(1);
  return name === "now" || name === "settings" ? name : "lookup";
}

function retitle() {
  const view = wanted();
  document.title = visible(`${view === "lookup" ? lookup.title() : TITLES[view]} - mxcheck`);
}

/** @param {boolean} moved by a link or the browser's buttons: whoever reads goes there, too */
function route(moved) {
  const view = wanted();
  for (const name of VIEWS) byId(`view-${name}`, HTMLElement).hidden = name !== view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (moved && view !== shown && location.hash !== "#main") byId(`title-${view}`, HTMLElement).focus();
  if (view === "now" && shown !== "now") now.show();
  if (view !== "now") now.hide();
  if (view === "settings" && shown !== "settings") void settings.show();
  shown = view;
  if (view === "lookup") lookup.show(location.search);
  retitle();
}

/** @param {MouseEvent} event */
function follow(event) {
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  const href = link?.getAttribute("href") ?? "";
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  if (href === "#main") {
    // Not an address of its own: back is to lead out of the page, not to its top.
    event.preventDefault();
    byId("main", HTMLElement).focus();
  } else if (href.startsWith("?")) {
    event.preventDefault();
    history.pushState(null, "", href);
    route(true);
  }
}

function showTokens() {
  byId("forget", HTMLButtonElement).hidden = !tokens.any;
}

tokens.onChange = showTokens;
showTokens();
byId("forget", HTMLButtonElement).addEventListener("click", () => tokens.forget());
document.addEventListener("click", follow);
window.addEventListener("popstate", () => route(true));
const asked = api.words();
words.use(asked);
asked.then(({ version }) => fill(byId("version", HTMLElement), `mxcheck-service ${version}`), console.warn);
route(false);
