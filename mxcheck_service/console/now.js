/** The view of how things stand: asks every few seconds while somebody looks. */

import { labelled, verdictInWords } from "./badge.js";
import { Failure } from "./api.js";
import { byId, el, fill, quietLine, refill, scrollable, table } from "./dom.js";
import { failureBox } from "./failure.js";
import { KINDS } from "./kinds.js";
import { Plot } from "./plots.js";
import { linkTo } from "./question.js";
import { byKind, latencySummary, ranked, stacked, told, verdictSummary } from "./stats.js";
import { clock, count, duration, milliseconds, percent } from "./text.js";
import { kindOf, sourceName, withWords } from "./words.js";

const EVERY_MS = 5000;
const COMPONENTS = { cache: "Cache", resolver: "Resolver", egress: "Way out to mail hosts" };
const LAYERS = { d: "domains", m: "hosts", i: "addresses" };

export class Now {
  /** @param {import("./api.js").Api} api */
  constructor(api) {
    this.api = api;
    this.output = byId("now-content", HTMLElement);
    this.trouble = el("div", null);
    this.state = el("div", null);
    this.numbers = el("div", { class: "columns" });
    this.recent = el("div", null);
    this.verdicts = new Plot(
      // The sum of all is drawn first, and each of the others over it.
      [...KINDS].reverse().map((kind) => ({ label: kind, color: `--${kind}`, filled: true })),
      (value) => count(Math.round(value)),
    );
    this.verdicts.valueAt = (line, at) => this.byKind?.[[...KINDS].reverse()[line]][at];
    this.latency = new Plot(
      [{ label: "99th percentile", color: "--unknown", dash: [5, 3] }, { label: "median", color: "--accent" }],
      milliseconds,
    );
    this.verdictNumbers = numbers("Verdicts");
    this.latencyNumbers = numbers("Latency");
    /** @type {Record<Kind, Column> | null} */
    this.byKind = null;
    /** @type {Stats | null} */
    this.last = null;
    /** @type {AbortController | null} */
    this.running = null;
    this.timer = 0;
    this.shown = false;
    document.addEventListener("visibilitychange", () => this.#goOn());
  }

  show() {
    this.shown = true;
    this.#goOn();
  }

  hide() {
    this.shown = false;
    this.#goOn();
  }

  #goOn() {
    clearTimeout(this.timer);
    this.running?.abort();
    if (this.shown && document.visibilityState === "visible") void this.#poll();
  }

  async #poll() {
    const running = (this.running = new AbortController());
    let again = EVERY_MS;
    try {
      const stats = await withWords(this.api.stats(running.signal));
      if (running.signal.aborted) return;
      fill(this.trouble);
      this.#draw(stats);
    } catch (error) {
      if (running.signal.aborted) return;
      this.#fail(error);
      // Who has closed the dialog is not asked again and again.
      if (error instanceof Failure && error.status === 401) again = 0;
    }
    if (again) this.timer = window.setTimeout(() => void this.#poll(), again);
  }

  /** @param {unknown} error */
  #fail(error) {
    if (!this.output.contains(this.trouble)) fill(this.output, this.trouble);
    const since = this.last ? el("p", null, `What is shown is as of ${clock(this.last.time)}.`) : null;
    if (!this.trouble.hasChildNodes()) fill(this.trouble, failureBox(error, () => this.#goOn()), since);
  }

  /** @param {Stats} stats */
  #draw(stats) {
    if (!this.output.contains(this.state)) this.#build();
    this.last = stats;
    const { history, hour } = stats;
    this.byKind = byKind(history, kindOf);
    const kinds = this.byKind;
    refill(this.state, tiles(stats), components(stats));
    this.verdicts.show(history.times, stacked(KINDS.map((kind) => kinds[kind])).reverse(), verdictSummary(history.times, kinds));
    this.latency.show(history.times, [history.p99_ms, history.p50_ms], latencySummary(history));
    this.verdictNumbers.show(() => history.times.length > 0 && numberTable(
      `Verdicts, each row ${duration(history.step_s)}`, [...KINDS], told(history.times, KINDS.map((kind) => kinds[kind])), count,
    ));
    this.latencyNumbers.show(() => numberTable(
      "Latency", ["median", "99th percentile"], told(history.times, [history.p50_ms, history.p99_ms]), milliseconds,
    ));
    refill(
      this.numbers,
      verdictTable(hour.verdicts),
      cacheTable(hour.cache),
      outcomes("DNS", hour.dns, (name) => name),
      outcomes("Probes", hour.probes, verdictInWords),
    );
    refill(this.recent, recent(stats));
  }

  #build() {
    fill(
      this.output,
      this.trouble,
      this.state,
      el("h2", null, "Verdicts, last hour"),
      this.verdicts.element,
      this.verdictNumbers.element,
      el("h2", null, "Latency of checks, last hour"),
      this.latency.element,
      this.latencyNumbers.element,
      el("h2", null, "Counted, last hour"),
      this.numbers,
      el("h2", null, "Last verdicts that were not good"),
      this.recent,
    );
  }
}

/**
 * Numbers behind a plot, made only while somebody looks at them.
 * @param {string} of
 */
function numbers(of) {
  const content = scrollable(`${of}, numbers`);
  const element = el("details", null, el("summary", null, "The numbers"), content);
  /** @type {() => Child} */
  let make = () => null;
  const show = () => {
    if (element.open) fill(content, make());
  };
  element.addEventListener("toggle", show);
  return {
    element,
    /** @param {() => Child} latest */
    show(latest) {
      make = latest;
      show();
    },
  };
}

/**
 * @param {string} caption
 * @param {string[]} head
 * @param {{time: number, values: Column}[]} rows
 * @param {(value: number) => string} written
 */
function numberTable(caption, head, rows, written) {
  if (!rows.length) return quietLine("Nothing was counted.");
  return table(caption, ["until", ...head], rows.map(({ time, values }) => [
    clock(time), ...values.map((value) => (value === null ? "–" : written(value))),
  ]));
}

/** @param {Stats} stats */
function tiles({ hour, in_flight: inFlight, workers }) {
  const latency = hour.latency_ms;
  const ms = (/** @type {number | null} */ value) => (value === null ? "–" : milliseconds(value));
  const flights = Object.entries(inFlight).map(([name, value]) => `${count(value)} ${name}`);
  return el(
    "dl",
    { class: "tiles" },
    tile("Checks, last hour", count(hour.checks), hour.seconds < 3540 ? `counted for ${duration(hour.seconds)}` : ""),
    tile("Median latency", ms(latency.p50), `90 %: ${ms(latency.p90)}, 99 %: ${ms(latency.p99)}`),
    tile("Turned away", count(hour.shed), hour.shed ? "the service had too much to do" : "nobody"),
    tile("Probes under way", count(inFlight.probes ?? 0), flights.join(", ")),
    tile("Workers", count(workers), ""),
  );
}

/** @param {string} name @param {string} value @param {string} more */
function tile(name, value, more) {
  return el("div", null, el("dt", null, name), el("dd", { class: "figure" }, value), more ? el("dd", { class: "quiet" }, more) : null);
}

/** @param {Stats} stats */
function components({ components: all }) {
  const items = Object.entries(all).map(([name, { status, detail = "" }]) => {
    const known = COMPONENTS[/** @type {"cache"} */ (name)] ?? name;
    return el("li", null, known, " ", labelled(status === "ok" ? "good" : "bad", status), " ", detail);
  });
  return el("ul", { class: "components", "aria-label": "State of what the service uses" }, items);
}

/** @param {Record<string, number>} verdicts */
function verdictTable(verdicts) {
  const rows = ranked(verdicts).map(([verdict, value]) => [verdictInWords(verdict), number(count(value))]);
  return counted("Verdicts", ["verdict", "count"], rows);
}

/** @param {Stats["hour"]["cache"]} layers */
function cacheTable(layers) {
  const rows = Object.entries(layers).map(([layer, { near, redis, miss, error, hit_ratio: ratio }]) => [
    LAYERS[/** @type {"d"} */ (layer)] ?? layer, number(percent(ratio)), ...[near, redis, miss, error].map((value) => number(count(value))),
  ]);
  return counted("Cache", ["layer", "hits", "near", "Redis", "miss", "error"], rows);
}

/**
 * @param {string} caption
 * @param {Record<string, Record<string, number>>} groups
 * @param {(name: string) => Child} written
 */
function outcomes(caption, groups, written) {
  const rows = Object.entries(groups).flatMap(([group, numbers]) =>
    ranked(numbers).map(([name, value]) => [group, written(name), number(count(value))]),
  );
  return counted(caption, [caption === "DNS" ? "type" : "family", "outcome", "count"], rows);
}

/** @param {string} caption @param {string[]} head @param {Child[][]} rows */
function counted(caption, head, rows) {
  const content = rows.length ? table(caption, head, rows) : [el("h3", null, caption), quietLine("None yet.")];
  return el("div", { class: "counted" }, content);
}

/** @param {string} text */
function number(text) {
  return el("span", { class: "number" }, text);
}

/** @param {Stats} stats */
function recent({ recent: rows }) {
  if (rows === null) return quietLine("They are not kept: the settings turn it off.");
  if (!rows.length) return quietLine("None so far.");
  return scrollable(
    "Last verdicts that were not good",
    table("The newest first", ["domain*", "verdict*", "host*", "from", "last", "times"], rows.map((row) => [
      el("a", { href: linkTo(row.domain), "data-key": `recent ${row.domain} ${row.source}` }, row.domain),
      verdictInWords(row.verdict),
      row.host,
      sourceName(row.source),
      number(clock(row.time)),
      number(count(row.count)),
    ])),
  );
}
