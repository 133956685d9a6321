/** What a check came to: a sentence for each domain, symbols, path, times, and how to ask again. */

import { badge, labelled } from "./badge.js";
import { copyButton } from "./copy.js";
import { curlLine } from "./curl.js";
import { button, el, quiet, quietLine, scrollable, table } from "./dom.js";
import { milliseconds, plural, signed } from "./text.js";
import { tree } from "./tree.js";
import { waterfall } from "./waterfall.js";
import { kindOf, sentence, sourceName } from "./words.js";

/** @param {CheckReply} reply @param {Around} around */
export function result(reply, around) {
  return el(
    "div",
    { class: "result" },
    el("h2", { tabindex: "-1" }, headline(reply)),
    around.done ? el("p", { class: "notice done" }, around.done, ".") : null,
    notices(reply),
    summary(reply),
    actions(reply, around),
    symbols(reply),
    reply.domains.map((domain) => article(domain, around, reply.domains.length === 1)),
  );
}

/** @param {CheckReply} reply */
function headline(reply) {
  if (reply.domains.length === 1) return sentence(reply.domains[0]);
  if (reply.domains.length) return `${plural(reply.domains.length, "domain")} looked up`;
  return reply.is_skipped ? "Not checked" : "Nothing to look up";
}

/** @param {CheckReply} reply */
function notices(reply) {
  const told = [];
  if (reply.is_skipped) {
    const why = { authenticated: "the client was authenticated", local: "the client's address is a local one" };
    told.push(`Such mail is not checked: ${why[/** @type {"local"} */ (reply.skip_reason)] ?? reply.skip_reason}.`);
  } else if (!reply.domains.length) {
    told.push("None of what was given has a domain name in it that could be looked up.");
  }
  if (reply.partial) told.push("The deadline came before some verdict. Look again in a moment: it lands in the cache.");
  return told.map((text) => el("p", { class: "notice" }, text));
}

/** @param {CheckReply} reply */
function summary(reply) {
  const against = reply.action !== "no action";
  return el(
    "p",
    { class: "summary" },
    labelled(against ? "bad" : "good", reply.action),
    el("span", null, "score ", el("strong", null, signed(reply.score))),
    quiet(milliseconds(reply.time_real * 1000)),
    reply.messages.smtp_message ? el("span", null, `“${reply.messages.smtp_message}”`) : null,
  );
}

/** @param {CheckReply} reply @param {Around} around */
function actions(reply, around) {
  const line = curlLine(around.endpoint, around.body, around.withToken);
  return el(
    "div",
    { class: "actions" },
    el(
      "div",
      { class: "row" },
      button("Check again", around.again),
      reply.domains.length > 0 && button("Check again, fresh", () => around.fresh(reply), { "data-key": "fresh" }),
      copyButton("Copy link", around.link),
    ),
    el(
      "details",
      null,
      el("summary", null, "The same with curl"),
      el("pre", { tabindex: "0", role: "group", "aria-label": "curl line" }, el("code", { id: "curl" }, line)),
      copyButton("Copy curl line", line),
    ),
  );
}

/** @param {CheckReply} reply */
function symbols(reply) {
  const rows = Object.values(reply.symbols).map((symbol) => [
    el("span", null, symbol.name, el("span", { class: "about" }, symbol.options.join(", "))),
    el("span", { class: "number" }, signed(symbol.score)),
    el("span", { class: "number" }, weight(symbol)),
    symbol.description,
  ]);
  if (!rows.length) return quietLine("No symbols.");
  return scrollable("Symbols", table("Symbols", ["symbol*", "score", "weight", "meaning*"], rows));
}

/** @param {SymbolReply} symbol */
function weight(symbol) {
  return symbol.weight === 1 ? signed(symbol.metric_score) : `${signed(symbol.metric_score)} × ${symbol.weight}`;
}

/**
 * @param {DomainReply} domain
 * @param {Around} around
 * @param {boolean} alone the headline has its sentence already
 */
function article(domain, around, alone) {
  const facts = [
    `from the ${sourceName(domain.source)}`,
    domain.cached ? "verdict from the cache" : "looked up just now",
    milliseconds(domain.time_ms),
  ];
  return el(
    "article",
    { "aria-label": domain.domain, "data-kind": kindOf(domain.verdict) },
    el("h3", null, badge(domain.verdict, domain.verdict), " ", alone ? domain.domain : sentence(domain)),
    quietLine(facts.join(" · ")),
    el("h4", null, "Path"),
    tree(domain, around.purge),
    el("h4", null, "What took how long"),
    waterfall(domain),
  );
}
