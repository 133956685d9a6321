/** Draws what took how long: a row for each step, its time in words, and a bar. */

import { barsOf } from "./bars.js";
import { el, quietLine } from "./dom.js";
import { milliseconds } from "./text.js";

const LEGEND = [
  ["cache", "cache"],
  ["dns", "DNS"],
  ["lock", "lock"],
  ["shared", "waiting for another"],
  ["connect", "connect"],
  ["banner", "banner"],
];
const THINNEST = 0.4; // percent, or nobody sees it

/** @param {DomainReply} reply */
export function waterfall(reply) {
  const { total, rows } = barsOf(reply);
  if (!rows.length) return quietLine("No steps were told.");
  const used = new Set(rows.flatMap((row) => row.segments.map((part) => part.kind)));
  return el(
    "div",
    { class: "waterfall" },
    legend(LEGEND.filter(([kind]) => used.has(kind))),
    el("ol", { class: "steps" }, rows.map((row) => step(row, total))),
    scale(total),
  );
}

/** @param {Row} row @param {number} total */
function step(row, total) {
  const track = el("span", { class: "track", "aria-hidden": "true" });
  for (const part of row.segments) track.append(bar(part.kind, part.from, part.to, total));
  if (!row.segments.length) track.append(bar("instant", row.end, row.end, total));
  return el(
    "li",
    null,
    el("span", { class: "step" }, row.name),
    el(
      "span",
      { class: "detail" },
      row.detail,
      row.lines.length > 0 && el("code", { class: "said" }, row.lines.map((line) => el("span", null, line))),
    ),
    el("span", { class: "time" }, row.time),
    track,
  );
}

/** @param {string} kind @param {number} from @param {number} to @param {number} total */
function bar(kind, from, to, total) {
  const drawn = el("span", { class: "bar", "data-kind": kind });
  const width = Math.max(THINNEST, (100 * (to - from)) / total);
  drawn.style.left = `${Math.min((100 * from) / total, 100 - width)}%`;
  drawn.style.width = `${width}%`;
  return drawn;
}

/** @param {string[][]} kinds */
function legend(kinds) {
  if (!kinds.length) return null;
  return el(
    "ul",
    { class: "legend", "aria-hidden": "true" },
    kinds.map(([kind, label]) => el("li", null, el("span", { class: "swatch", "data-kind": kind }), label)),
  );
}

/** @param {number} total */
function scale(total) {
  const marks = [0, 0.25, 0.5, 0.75, 1].map((part) => el("span", null, part ? milliseconds(part * total) : "0"));
  return el("div", { class: "scale", "aria-hidden": "true" }, marks);
}
