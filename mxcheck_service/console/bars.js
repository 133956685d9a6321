/** The trace of a domain as bars on a line of time, and each step in words. */

import { duration, milliseconds } from "./text.js";

/** @param {DomainReply} reply */
export function barsOf(reply) {
  const rows = (reply.trace ?? []).map(row);
  const total = Math.max(reply.time_ms, ...rows.map((each) => each.end), 0.001);
  // By when they began: steps side by side are told when they end.
  return { total, rows: rows.sort((one, other) => one.start - other.start) };
}

/** @param {TraceStep} step */
function row(step) {
  const end = step.at_ms;
  const start = Math.max(0, end - (step.took_ms ?? 0));
  const { name, detail, lines } = described(step);
  const segments = step.took_ms ? parts(step, start, end) : [];
  return { name, detail, lines, time: times(step, start, segments), segments, start, end };
}

/** @param {TraceStep} step @param {number} start @param {number} end */
function parts(step, start, end) {
  if (step.step !== "probe") return [{ kind: step.step, from: start, to: end }];
  if (typeof step.connect_ms !== "number") return [{ kind: "connect", from: start, to: end }];
  const connected = Math.min(end, start + step.connect_ms);
  return [{ kind: "connect", from: start, to: connected }, { kind: "banner", from: connected, to: end }];
}

/** @param {TraceStep} step @param {number} start @param {Segment[]} segments */
function times(step, start, segments) {
  if (!segments.length) return `at ${milliseconds(step.at_ms)}`;
  const told = segments.map((part) => milliseconds(part.to - part.from));
  const took = told.length === 2 ? `connect ${told[0]}, banner ${told[1]}` : told[0];
  return `${took}, from ${milliseconds(start)}`;
}

/** @param {TraceStep} step */
function described(step) {
  const plain = (/** @type {string} */ name, /** @type {string} */ detail) => ({ name, detail, lines: [] });
  switch (step.step) {
    case "cache":
      return plain(`cache ${step.layer}`, `${step.key}: ${step.value === null ? "not there" : `${step.value}${lifetime(step)}`}`);
    case "dns":
      return plain(`DNS ${step.type}`, `${step.question}: ${listed(step.answer)}`);
    case "ip_class":
      return plain("classes", classes(step));
    case "map":
      return plain("map", `${step.setting}: ${step.key} is listed${step.entry ? ` (${step.entry})` : ""}`);
    case "lock":
      return plain("lock", `${step.ip}: ${step.claim}${step.waited ? ", after waiting" : ""}`);
    case "shared":
      return plain("shared", `${step.key}: another request is asking already`);
    case "limit":
      return plain("limit", `${step.ip}: not probed, ${listed(step.limit)}`);
    case "probe":
      return { name: "probe", detail: probe(step), lines: step.greeting ?? [] };
    case "verdict":
      return plain("verdict", `${step.verdict}, ${step.host}${step.cached ? ", from the cache" : ""}`);
    default:
      return plain(step.step, others(step));
  }
}

/** @param {TraceStep} step */
function probe(step) {
  const facts = [`${step.ip}: ${step.verdict}`];
  if (step.local_fault) facts.push(`our own fault: ${step.local_fault}`);
  else if (typeof step.connect_ms !== "number") facts.push("no connection");
  if (step.provisional) facts.push("for now, the greeting is still waited for");
  return facts.join(", ");
}

/** @param {TraceStep} step */
function classes(step) {
  const told = /** @type {const} */ (["public", "local", "bogon"]).filter((kind) => step[kind]?.length);
  return told.map((kind) => `${kind}: ${listed(step[kind])}`).join("; ") || "no address";
}

/**
 * How old an entry of the cache is, and how long it will be there.
 * @param {{age_s?: number | null, left_s?: number | null}} entry
 */
export function lifetime({ age_s: age, left_s: left }) {
  const told = [
    typeof age === "number" ? `${duration(age)} old` : "",
    typeof left === "number" ? `${duration(left)} left` : "",
  ].filter(Boolean).join(", ");
  return told && ` (${told})`;
}

/** @param {TraceStep} step */
function others(step) {
  return Object.entries(step)
    .filter(([name]) => !["at_ms", "took_ms", "step"].includes(name))
    .map(([name, value]) => `${name} ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(", ");
}

/** @param {string | string[] | undefined} value */
function listed(value) {
  return [value ?? "no answer"].flat().join(", ") || "nothing";
}
