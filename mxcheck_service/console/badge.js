/** A verdict at a glance: a shape, a colour and a word. */

import { el } from "./dom.js";
import { kindOf, short } from "./words.js";

const SHAPES = { good: "✓", bad: "✕", unknown: "?", neutral: "–" };

/** @param {string} verdict @param {string} text */
export function badge(verdict, text) {
  return labelled(kindOf(verdict), text);
}

/** @param {Kind} kind @param {string} text */
export function labelled(kind, text) {
  return el("span", { class: "badge", "data-kind": kind }, shape(kind), text);
}

/**
 * A verdict by its code, and in words.
 * @param {string} verdict
 */
export function verdictInWords(verdict) {
  return el("span", { class: "verdict" }, badge(verdict, verdict), " ", short(verdict));
}

/** @param {Kind} kind */
function shape(kind) {
  return el("span", { class: "shape", "data-kind": kind, "aria-hidden": "true" }, SHAPES[kind]);
}
