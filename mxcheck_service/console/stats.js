/** Numbers of `/v1/stats`, put together as they are shown. */

import { KINDS } from "./kinds.js";
import { clock, count, milliseconds } from "./text.js";

/**
 * The verdicts of each step by kind.
 * @param {Stats["history"]} history
 * @param {(verdict: string) => Kind} kindOf
 * @returns {Record<Kind, Column>}
 */
export function byKind(history, kindOf) {
  const columns = Object.entries(history.verdicts);
  const sums = KINDS.map((kind) => {
    const own = columns.filter(([verdict]) => kindOf(verdict) === kind).map(([, column]) => column);
    return [kind, history.times.map((_, at) => sum(own, history.checks[at] ?? null, at))];
  });
  return Object.fromEntries(sums);
}

/**
 * Columns on top of each other: the first is what it was, the last the sum of all.
 * @param {Column[]} columns
 * @returns {Column[]}
 */
export function stacked(columns) {
  /** @type {Column[]} */
  const heights = [];
  for (const column of columns) {
    const below = heights[heights.length - 1];
    heights.push(column.map((value, at) => (value === null ? null : value + (below?.[at] ?? 0))));
  }
  return heights;
}

/**
 * The plot of verdicts in a sentence.
 * @param {number[]} times
 * @param {Record<Kind, Column>} columns
 */
export function verdictSummary(times, columns) {
  const totals = KINDS.map((kind) => `${count(total(columns[kind]))} ${kind}`);
  return `Verdicts from ${span(times)}: ${totals.join(", ")}.`;
}

/** @param {Stats["history"]} history */
export function latencySummary(history) {
  const [p50, p99] = [worst(history.p50_ms), worst(history.p99_ms)];
  if (p50 === null || p99 === null) return `Latency from ${span(history.times)}: no checks.`;
  const most = `the median was at most ${milliseconds(p50)}, the 99th percentile at most ${milliseconds(p99)}`;
  return `Latency from ${span(history.times)}: ${most}.`;
}

/**
 * What is left of a table when nothing but the steps with numbers is shown, the newest first.
 * @param {number[]} times
 * @param {Column[]} columns
 * @returns {{time: number, values: Column}[]}
 */
export function told(times, columns) {
  return times
    .map((time, at) => ({ time, values: columns.map((column) => column[at] ?? null) }))
    .filter(({ values }) => values.some((value) => value))
    .reverse();
}

/**
 * Names and numbers, the largest number first, without those that did not happen.
 * @param {Record<string, number>} numbers
 */
export function ranked(numbers) {
  return Object.entries(numbers).filter(([, value]) => value > 0).sort(([, one], [, other]) => other - one);
}

/** @param {Column[]} columns @param {number | null} checks of the step; null: nobody counted @param {number} at */
function sum(columns, checks, at) {
  const known = columns.map((column) => column[at]).filter((value) => typeof value === "number");
  return known.length || checks !== null ? known.reduce((one, other) => one + other, 0) : null;
}

/** @param {Column} column */
function total(column) {
  return column.reduce((/** @type {number} */ one, other) => one + (other ?? 0), 0);
}

/** @param {Column} column */
function worst(column) {
  const known = column.filter((value) => value !== null);
  return known.length ? Math.max(...known) : null;
}

/** @param {number[]} times */
function span(times) {
  return times.length ? `${clock(times[0])} to ${clock(times[times.length - 1])}` : "now on";
}
