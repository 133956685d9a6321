/** The view of settings and maps in use, and the button that reads them again. */

import { button, byId, el, fill, quiet, quietLine, scrollable, table } from "./dom.js";
import { failureBox } from "./failure.js";
import { reloadReport } from "./reload.js";
import { count, duration, plural } from "./text.js";

export class Settings {
  /** @param {import("./api.js").Api} api */
  constructor(api) {
    this.api = api;
    this.output = byId("settings-content", HTMLElement);
    this.report = el("div", { role: "status" });
    this.sections = el("div", null);
    this.maps = el("div", null);
    this.matches = el("p", { class: "quiet", role: "status" });
    this.filter = el("input", { type: "search", id: "filter" });
    this.onlyChanged = el("input", { type: "checkbox", id: "only-changed" });
    this.filter.addEventListener("input", () => this.#draw());
    this.onlyChanged.addEventListener("change", () => this.#draw());
    /** @type {Stats | null} */
    this.stats = null;
  }

  async show() {
    try {
      this.stats = await this.api.settings();
    } catch (error) {
      fill(this.output, failureBox(error, () => void this.show()));
      return;
    }
    if (!this.output.contains(this.sections)) this.#build();
    this.#draw();
    fill(this.maps, mapTable(this.stats.maps ?? {}));
  }

  #build() {
    fill(
      this.output,
      el("div", { class: "row" }, button("Reload", () => void this.#reload(), { "data-key": "reload" }),
        quiet("reads the settings file, the environment and every map again")),
      this.report,
      el("h2", null, "Maps"),
      this.maps,
      el("h2", null, "In effect"),
      el(
        "div",
        { class: "filters" },
        el("div", null, el("label", { for: "filter" }, "Filter"), this.filter),
        el("div", { class: "check" }, this.onlyChanged, el("label", { for: "only-changed" }, "only what differs from the preset")),
      ),
      this.matches,
      this.sections,
    );
  }

  #draw() {
    const wanted = this.filter.value.trim().toLowerCase();
    const changed = new Set(this.stats?.changed ?? []);
    let shown = 0;
    /** @param {{name: string, value: string}} row */
    const fits = ({ name, value }) =>
      (!this.onlyChanged.checked || changed.has(name)) && `${name} ${value}`.toLowerCase().includes(wanted);
    const sections = sectionsOf(this.stats?.settings ?? {}).map(({ title, rows }) => {
      const fitting = rows.filter(fits);
      shown += fitting.length;
      return fitting.length > 0 && section(title, fitting, changed);
    });
    fill(this.sections, sections);
    fill(this.matches, `${plural(shown, "setting")} shown, ${count(changed.size)} differ from the preset's default.`);
  }

  async #reload() {
    fill(this.report, quietLine("Reloading…"));
    try {
      const done = await this.api.reload();
      await this.show();
      fill(this.report, reloadReport(done));
    } catch (error) {
      const document = /** @type {any} */ (error)?.document;
      if (Array.isArray(document?.problems)) {
        await this.show();
        fill(this.report, reloadReport(document));
      } else {
        fill(this.report, failureBox(error, null));
      }
    }
  }
}

/** @param {Record<string, unknown>} settings */
export function sectionsOf(settings) {
  const sections = Object.entries(settings).map(([title, content]) => {
    const inside = content !== null && typeof content === "object" && !Array.isArray(content);
    const rows = inside
      ? Object.entries(content).map(([key, value]) => ({ name: `${title}.${key}`, value: written(value) }))
      : [{ name: title, value: written(content) }];
    return { title: inside ? title : "", rows };
  });
  // What stands outside of any section goes before them.
  return sections.sort((one, other) => Number(one.title !== "") - Number(other.title !== ""));
}

/** @param {unknown} value */
function written(value) {
  if (typeof value === "string") return value || '""';
  if (Array.isArray(value) && value.every((each) => typeof each === "string")) return value.join(", ") || "none";
  return value === null ? "not set" : JSON.stringify(value);
}

/** @param {string} title @param {{name: string, value: string}[]} rows @param {Set<string>} changed */
function section(title, rows, changed) {
  const items = rows.map(({ name, value }) =>
    el(
      "div",
      { class: changed.has(name) ? "changed" : null },
      el("dt", null, title ? name.slice(title.length + 1) : name),
      el("dd", null, el("code", null, value), changed.has(name) && el("span", { class: "tag" }, "changed")),
    ),
  );
  return el("section", null, el("h3", null, title || "general"), el("dl", { class: "settings" }, items));
}

/** @param {Maps} maps */
function mapTable(maps) {
  const rows = Object.entries(maps).flatMap(([setting, { sources }]) => sources.map((place) => [
    setting,
    place.source,
    el("span", { class: "number" }, count(place.entries)),
    place.age === null ? "never read" : `${duration(place.age)} ago`,
    place.error === null ? "none" : el("strong", { class: "refused" }, place.error),
  ]));
  if (!rows.length) return quietLine("No map is set.");
  return scrollable("Maps", table("By setting and place", ["map", "place*", "entries", "found good", "last error*"], rows));
}
