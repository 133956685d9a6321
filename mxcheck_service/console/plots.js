/** Draws a plot over time with uPlot: colours of the page's style, a legend, a text for who cannot see it. */

import { el, fill } from "./dom.js";

const HEIGHT = 180;
const SPAN = 3600; // seconds
const WIDEST_BAR = 8;

/** @typedef {import("uplot")} uPlot */
/** @typedef {import("uplot").Options} Options */
/** @typedef {import("uplot").AlignedData} AlignedData */

export class Plot {
  /**
   * @param {Line[]} lines those drawn first are behind
   * @param {(value: number) => string} written how a value is written
   */
  constructor(lines, written) {
    this.lines = lines;
    this.written = written;
    /** @type {uPlot | null} */
    this.drawn = null;
    /** @type {AlignedData | null} */
    this.data = null;
    this.picture = el("div", { class: "picture", role: "img" });
    this.values = lines.map(() => el("span", { class: "quiet" }));
    this.legend = el("ul", { class: "legend", "aria-hidden": "true" }, lines.map((line, at) => this.#entry(line, at)).reverse());
    this.element = el("div", { class: "plot" }, this.legend, this.picture);
    // Size and colours are read when it is drawn.
    new ResizeObserver(() => this.#resize()).observe(this.picture);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#redraw());
  }

  /** @param {number[]} times @param {(number | null)[][]} columns one for each line @param {string} summary */
  show(times, columns, summary) {
    this.data = [times, ...columns];
    this.picture.setAttribute("aria-label", summary);
    if (this.drawn) this.drawn.setData(this.data);
    else this.#redraw();
  }

  #resize() {
    const width = this.picture.clientWidth;
    if (!width) return;
    if (!this.drawn) this.#redraw();
    else if (Math.abs(this.drawn.width - width) > 1) this.drawn.setSize({ width, height: HEIGHT });
  }

  #redraw() {
    const width = this.picture.clientWidth;
    if (!this.data || !width) return;
    this.drawn?.destroy();
    this.drawn = new window.uPlot(this.#options(width), this.data, this.picture);
  }

  /** @param {number} width @returns {Options} */
  #options(width) {
    const style = getComputedStyle(document.documentElement);
    const color = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: color("--muted"),
      font: `12px ${style.fontFamily}`,
      grid: { stroke: color("--line"), width: 1 },
      ticks: { stroke: color("--line"), width: 1 },
    };
    // As wide as a step, and ending with it.
    const bars = window.uPlot.paths.bars?.({ align: -1, size: [1, WIDEST_BAR], gap: 0 });
    return {
      width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: { x: { range: (_, __, last) => [last - SPAN, last] }, y: { range: (_, __, most) => [0, Math.max(most * 1.05, 1)] } },
      axes: [
        { ...axis, size: 32, space: 70, values: (_, marks) => marks.map(hourAndMinute) },
        { ...axis, size: 72, values: (_, marks) => marks.map((mark) => (mark === null ? "" : this.written(mark))) },
      ],
      series: [
        {},
        ...this.lines.map((line) => ({
          label: line.label,
          stroke: color(line.color),
          width: line.filled ? 0 : 1.5,
          dash: line.dash,
          fill: line.filled ? color(line.color) : undefined,
          paths: line.filled ? bars : undefined,
          points: line.filled ? { show: false } : { size: 3 },
        })),
      ],
      hooks: { setCursor: [(plot) => this.#readOut(plot.cursor.idx ?? null)] },
    };
  }

  /**
   * Write the values under the pointer beside the names.
   * @param {number | null} at
   */
  #readOut(at) {
    for (const [number, span] of this.values.entries()) {
      const value = at === null ? null : this.valueAt(number, at);
      fill(span, value === null || value === undefined ? "" : this.written(value));
    }
  }

  /** @param {number} line @param {number} at @returns {number | null | undefined} */
  valueAt(line, at) {
    return this.data?.[line + 1]?.[at];
  }

  /** @param {Line} line @param {number} at */
  #entry(line, at) {
    const swatch = el("span", { class: line.dash ? "swatch dashed" : "swatch" });
    swatch.style.setProperty("--color", `var(${line.color})`);
    return el("li", null, swatch, line.label, this.values[at]);
  }
}

/** @param {number} unix */
function hourAndMinute(unix) {
  const date = new Date(unix * 1000);
  return `${String(date.getHours()).padStart(2, "0")}:${String(date.getMinutes()).padStart(2, "0")}`;
}
