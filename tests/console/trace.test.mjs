/** A trace as a path and as bars. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { barsOf } from "../../mxcheck_service/console/bars.js";
import { addressesIn, entriesOf, hostsIn, pathOf } from "../../mxcheck_service/console/path.js";

/**
 * @param {Omit<TraceStep, "at_ms"> & {at_ms?: number}} step
 * @returns {TraceStep}
 */
const at = (step) => ({ at_ms: 0, ...step });

/**
 * @param {...(Omit<TraceStep, "at_ms"> & {at_ms?: number})} steps
 * @returns {DomainReply}
 */
const traced = (...steps) => ({
  domain: "x.test", source: "from", verdict: "gd", host: "mx1.x.test", cached: false, time_ms: 1, trace: steps.map(at),
}); // prettier-ignore

const FRESH = [
  { step: "cache", layer: "d", key: "x.test", value: null },
  { step: "dns", type: "MX", question: "x.test", answer: ["20 mx2.x.test.", "10 mx1.x.test."] },
  { step: "cache", layer: "m", key: "mx1.x.test", value: null },
  { step: "cache", layer: "m", key: "mx2.x.test", value: null },
  { step: "dns", type: "A", question: "mx1.x.test", answer: ["192.0.2.1", "10.0.0.1", "192.0.2.2"] },
  { step: "dns", type: "AAAA", question: "mx1.x.test", answer: "NODATA" },
  { step: "ip_class", public: ["192.0.2.1", "192.0.2.2"], local: ["10.0.0.1"], bogon: [] },
  { step: "cache", layer: "i", key: "192.0.2.1", value: null },
  { step: "cache", layer: "i", key: "192.0.2.2", value: null },
  { step: "lock", ip: "192.0.2.1", claim: "won" },
  { step: "probe", ip: "192.0.2.1", connect_ms: 3, verdict: "gd", greeting: ["220 hi"] },
];

test("hosts stand by preference, and those that were never reached are told", () => {
  const path = pathOf(traced(...FRESH));
  assert.deepEqual(path.hosts.map((host) => [host.name, host.preference, host.reached]), [["mx1.x.test", 10, true], ["mx2.x.test", 20, false]]);
  assert.equal(path.entry?.value, null);
  assert.ok(path.entry?.filled);
  assert.ok(!path.hosts[1].entry?.filled);
});

test("addresses have their class, and what became of them", () => {
  const [first, local, second] = pathOf(traced(...FRESH)).hosts[0].addresses;
  assert.deepEqual([first.ip, first.kind, first.probe?.verdict, first.note], ["192.0.2.1", "public", "gd", ""]);
  assert.deepEqual([local.ip, local.kind, local.note], ["10.0.0.1", "local", "set aside, not probed"]);
  assert.deepEqual([second.ip, second.probe, second.note], ["192.0.2.2", null, "not tried"]);
});

test("out of the cache it is the same path, with ages", () => {
  const path = pathOf(traced(
    { step: "cache", layer: "d", key: "x.test", value: "mx:mx1.x.test:10,mx2.x.test:20", age_s: 5, left_s: 60 },
    { step: "cache", layer: "m", key: "mx1.x.test", value: "v64:192.0.2.1,2001:db8::1", age_s: 5, left_s: 60 },
    { step: "cache", layer: "m", key: "mx2.x.test", value: "no", age_s: 5, left_s: null },
    { step: "ip_class", public: ["192.0.2.1", "2001:db8::1"], local: [], bogon: [] },
    { step: "cache", layer: "i", key: "192.0.2.1", value: "err:550", age_s: 1, left_s: 9 },
    { step: "cache", layer: "i", key: "2001:db8::1", value: null },
  )); // prettier-ignore
  assert.deepEqual([path.entry?.age, path.entry?.left], [5, 60]);
  assert.deepEqual(path.hosts.map((host) => [host.name, host.addresses.map((address) => address.ip)]), [["mx1.x.test", ["192.0.2.1", "2001:db8::1"]], ["mx2.x.test", []]]);
  assert.deepEqual(path.hosts[0].addresses.map((address) => address.entry?.value), ["err:550", null]);
});

test("a domain without MX records is its own host", () => {
  const path = pathOf(traced(
    { step: "cache", layer: "d", key: "x.test", value: null },
    { step: "dns", type: "MX", question: "x.test", answer: "NODATA" },
    { step: "dns", type: "A", question: "x.test", answer: ["192.0.2.1"] },
    { step: "ip_class", public: ["192.0.2.1"], local: [], bogon: [] },
  )); // prettier-ignore
  assert.equal(path.note, "MX: NODATA");
  assert.deepEqual(path.hosts.map((host) => [host.name, host.preference, host.addresses.map((address) => address.ip)]), [["x.test", null, ["192.0.2.1"]]]);
  const cached = pathOf(traced({ step: "cache", layer: "d", key: "x.test", value: "a:v4:192.0.2.1" }));
  assert.deepEqual(cached.hosts[0].addresses.map((address) => address.ip), ["192.0.2.1"]);
});

test("limits, locks and maps are told where they apply", () => {
  const path = pathOf(traced(
    ...FRESH.slice(0, 9),
    { step: "map", setting: "exclude_ips", key: "192.0.2.2", value: "", entry: "/etc/x:3" },
    { step: "lock", ip: "192.0.2.1", claim: "held" },
    { step: "limit", ip: "192.0.2.2", limit: ["address", "global"] },
  )); // prettier-ignore
  const [first, , second] = path.hosts[0].addresses;
  assert.equal(first.note, "another probe of it is under way");
  assert.equal(second.note, "not probed, a limit is reached: address, global");
  assert.deepEqual(second.maps.map((map) => map.entry), ["/etc/x:3"]);
});

test("any trace has a path", () => {
  for (const trace of [[], [at({ step: "new" })], [at({ step: "dns", type: "MX", question: "x.test", answer: ["0 ."] })], [at({ step: "cache" })]]) {
    pathOf({ ...traced(), trace });
  }
  assert.deepEqual(pathOf({ ...traced(), trace: undefined }).hosts, []);
  assert.equal(pathOf(traced({ step: "dns", type: "MX", question: "x.test", answer: ["0 ."] })).hosts[0].name, ".");
});

test("values of the cache", () => {
  assert.deepEqual(hostsIn("mx:a:b:10,c:-1"), [["a:b", 10], ["c", -1]]);
  assert.equal(hostsIn("no"), null);
  assert.deepEqual(addressesIn("v6:2001:db8::1,::1"), ["2001:db8::1", "::1"]);
  assert.deepEqual(addressesIn("v4:"), []);
  assert.equal(addressesIn("x:1"), null);
});

test("every entry that was read is one to purge, once", () => {
  const trace = [...FRESH, { step: "cache", layer: "i", key: "192.0.2.1", value: "gd" }].map(at);
  assert.deepEqual(entriesOf(trace).map(({ layer, key }) => `${layer}/${key}`), ["d/x.test", "m/mx1.x.test", "m/mx2.x.test", "i/192.0.2.1", "i/192.0.2.2"]);
});

test("a bar begins when the step did, and a probe is connect and banner", () => {
  const { total, rows } = barsOf(traced(
    { at_ms: 5, took_ms: 2, step: "dns", type: "A", question: "mx", answer: [] },
    { at_ms: 10, took_ms: 4, step: "probe", ip: "192.0.2.1", connect_ms: 1, verdict: "gd", greeting: ["220 a", "220 b"] },
    { at_ms: 10.5, step: "verdict", verdict: "gd", host: "mx" },
  )); // prettier-ignore
  assert.equal(total, 10.5);
  assert.deepEqual(rows.map((row) => row.segments), [
    [{ kind: "dns", from: 3, to: 5 }],
    [{ kind: "connect", from: 6, to: 7 }, { kind: "banner", from: 7, to: 10 }],
    [],
  ]);
  assert.deepEqual(rows.map((row) => row.time), ["2.0 ms, from 3.0 ms", "connect 1.0 ms, banner 3.0 ms, from 6.0 ms", "at 10.5 ms"]);
  assert.deepEqual(rows[1].lines, ["220 a", "220 b"]);
});

test("steps stand in the order in which they began", () => {
  const { rows } = barsOf(traced({ at_ms: 2, took_ms: 1, step: "lock", ip: "b" }, { at_ms: 9, took_ms: 9, step: "probe", ip: "a", verdict: "tc", connect_ms: null }));
  assert.deepEqual(rows.map((row) => row.name), ["probe", "lock"]);
  assert.equal(rows[0].segments[0].kind, "connect");
  assert.match(rows[0].detail, /no connection/);
});

test("steps that are not known are told all the same", () => {
  const { rows } = barsOf(traced({ step: "deadline", seconds: 5 }, { step: "crash" }, { step: "cache", layer: "d", key: "k", value: "no", age_s: 3, left_s: 90 }));
  assert.deepEqual(rows.map((row) => row.detail), ["seconds 5", "", "k: no (3 s old, 90 s left)"]);
});
