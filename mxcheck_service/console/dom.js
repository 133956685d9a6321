/** Elements, made from parts. Whatever is a string becomes text, with nothing hidden in it; nothing is ever parsed. */

import { visible } from "./text.js";

/** The attributes there are; what runs code, loads something or has a style of its own is none of them. */
const ATTRIBUTES = new Set([
  "aria-controls", "aria-current", "aria-describedby", "aria-expanded", "aria-hidden", "aria-label", "aria-labelledby",
  "aria-live", "class", "colspan", "data-key", "data-kind", "for", "href", "id", "name", "open", "role", "scope",
  "tabindex", "title", "type",
]);

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string | null | undefined | false> | null} attributes those without a value are left out
 * @param {...(Child | Child[])} children
 */
export function el(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (!ATTRIBUTES.has(name)) throw new Error(`no attribute: ${name}`);
    if (name === "href" && value && !/^[?#]/.test(value)) throw new Error("links stay on this page");
    if (typeof value === "string") element.setAttribute(name, visible(value));
  }
  element.append(...nodes(children));
  return element;
}

/**
 * Put other content into an element. Where something inside had the focus and what has the same `data-key` is there
 * again, that has it.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function fill(element, ...children) {
  const active = document.activeElement;
  const key = active && element.contains(active) ? active.getAttribute("data-key") : null;
  element.replaceChildren(...nodes(children));
  if (key === null) return;
  for (const candidate of element.querySelectorAll("[data-key]")) {
    if (candidate instanceof HTMLElement && candidate.getAttribute("data-key") === key) {
      candidate.focus({ preventScroll: true });
      return;
    }
  }
}

/**
 * Put content in that may be the same as before: then it stays, and who reads it is not sent back to its top.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function refill(element, ...children) {
  const made = nodes(children);
  const old = element.childNodes;
  if (made.length !== old.length || made.some((node, at) => !node.isEqualNode(old[at]))) fill(element, ...made);
}

/**
 * The element of the page with this id.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 */
export function byId(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`no such element: ${id}`);
  return element;
}

/** @param {string} label @param {() => void} onClick @param {Record<string, string | null>} [attributes] */
export function button(label, onClick, attributes = {}) {
  const made = el("button", { type: "button", ...attributes }, label);
  made.addEventListener("click", onClick);
  return made;
}

/** @param {...Child} children */
export function quiet(...children) {
  return el("span", { class: "quiet" }, children);
}

/** @param {...Child} children */
export function quietLine(...children) {
  return el("p", { class: "quiet" }, children);
}

/**
 * A table with a head; cells of the first column are the heads of their rows.
 * @param {string} caption
 * @param {string[]} head those that end with `*` are columns that want room
 * @param {Child[][]} rows
 */
export function table(caption, head, rows) {
  return el(
    "table",
    null,
    el("caption", null, caption),
    el("thead", null, el("tr", null, head.map((text) => heading(text)))),
    el("tbody", null, rows.map(([first, ...others]) =>
      el("tr", null, el("th", { scope: "row" }, first), others.map((cell) => el("td", null, cell))))),
  );
}

/** @param {string} text */
function heading(text) {
  const wide = text.endsWith("*");
  return el("th", { scope: "col", class: wide ? "wide" : null }, wide ? text.slice(0, -1) : text);
}

/**
 * Room for what may be wider than the page; the keyboard can scroll it, too.
 * @param {string} label
 * @param {...Child} children
 */
export function scrollable(label, ...children) {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, children);
}

/**
 * Say something to those who listen to the page instead of looking at it.
 * @param {string} message
 */
export function announce(message) {
  byId("announcement", HTMLElement).textContent = visible(message);
}

/** @param {(Child | Child[])[]} children */
function nodes(children) {
  return children.flat().filter((child) => child instanceof Node || typeof child === "string").map((child) =>
    typeof child === "string" ? document.createTextNode(visible(child)) : /** @type {Node} */ (child));
}
