/** What came of a reload. */

import { labelled } from "./badge.js";
import { el } from "./dom.js";

/** @param {Reloaded} done */
export function reloadReport(done) {
  const { changed, restart_needed: restart } = done.settings ?? { changed: [], restart_needed: [] };
  const maps = Object.entries(done.maps ?? {})
    .flatMap(([setting, { sources }]) => sources.filter((place) => place.changed).map((place) => `${setting}: ${place.source}`));
  const broken = done.problems.length > 0;
  const parts = [
    list("Broken, and not taken", done.problems),
    list("Warnings", done.warnings ?? []),
    list("Settings that have changed", changed),
    list("Changed, but taken at a restart only", restart),
    list("Maps that have changed", maps),
  ].filter(Boolean);
  return el(
    "div",
    { class: broken ? "notice failed" : "notice done" },
    el("p", null, labelled(broken ? "bad" : "good", broken ? "Reloaded in part" : "Reloaded"), parts.length ? "" : " Nothing has changed."),
    parts,
  );
}

/** @param {string} title @param {string[]} items */
function list(title, items) {
  if (!items.length) return null;
  return el("div", null, el("p", null, el("strong", null, title)), el("ul", null, items.map((item) => el("li", null, item))));
}
