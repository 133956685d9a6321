/** Draws the path from a domain to its addresses, with what the cache holds of each. */

import { verdictInWords } from "./badge.js";
import { lifetime } from "./bars.js";
import { button, el, quiet } from "./dom.js";
import { pathOf } from "./path.js";
import { isVerdict } from "./words.js";

/**
 * @param {DomainReply} reply
 * @param {Purge} purge asked for with an entry, and where to tell what came of it
 */
export function tree(reply, purge) {
  const path = pathOf(reply);
  const root = el(
    "li",
    null,
    el("p", { class: "node" }, el("strong", null, path.domain), note(path.note), maps(path.maps)),
    entryLine(path.entry, purge),
    path.hosts.length > 0 && el("ul", null, path.hosts.map((host) => hostItem(host, purge))),
  );
  return el("ul", { class: "tree" }, root);
}

/** @param {Host} host @param {Purge} purge */
function hostItem(host, purge) {
  const rank = host.preference === null ? "no MX record, the domain's own addresses" : `preference ${host.preference}`;
  const state = host.reached ? note(host.note) : el("span", { class: "tag" }, "never reached");
  return el(
    "li",
    { class: host.reached ? null : "unreached" },
    el("p", { class: "node" }, el("strong", null, host.name), quiet(rank), state, maps(host.maps)),
    entryLine(host.entry, purge),
    host.addresses.length > 0 && el("ul", null, host.addresses.map((address) => addressItem(address, purge))),
  );
}

/** @param {Address} address @param {Purge} purge */
function addressItem(address, purge) {
  const { entry, probe } = address;
  const cached = entry?.value && isVerdict(entry.value) ? entry.value : null;
  const verdict = probe?.verdict ?? cached;
  return el(
    "li",
    null,
    el(
      "p",
      { class: "node" },
      el("strong", null, address.ip),
      address.kind && el("span", { class: "tag" }, address.kind),
      verdict && verdictInWords(verdict),
      verdict && quiet(probe ? "probed just now" : "cached verdict"),
      note(address.note),
      maps(address.maps),
    ),
    entryLine(entry, purge),
  );
}

/**
 * What the cache held, and a button that purges it.
 * @param {Entry | null} entry
 * @param {Purge} purge
 */
function entryLine(entry, purge) {
  if (!entry) return null;
  const { layer, key, value, age, left, filled } = entry;
  const held = value === null ? `was not there${filled ? ", is now" : ""}` : `${value}${lifetime({ age_s: age, left_s: left })}`;
  const told = el("span", { role: "status" });
  const purging = (value !== null || filled) && button("Purge", () => purge(layer, key, told), {
    class: "small",
    "aria-label": `Purge ${key} from layer ${layer} of the cache`,
  });
  return el("p", { class: "entry" }, el("span", null, `cache ${layer}: ${held}`), purging, told);
}

/** @param {string} text */
function note(text) {
  return text ? quiet(text) : null;
}

/** @param {TraceStep[]} steps */
function maps(steps) {
  return steps.map((step) => el("span", { class: "tag" }, `in ${step.setting}${step.entry ? ` (${step.entry})` : ""}`));
}
