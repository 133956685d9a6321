/** Numbers of /v1/stats, as they are drawn and told. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { byKind, latencySummary, ranked, stacked, told, verdictSummary } from "../../mxcheck_service/console/stats.js";
import { isVerdict, kindOf, sentence, short, use, withWords } from "../../mxcheck_service/console/words.js";

use(Promise.resolve({
  version: "1",
  verdicts: {
    gd: { sentence: "receives mail: {host} answers", kind: "good" },
    rf: { sentence: "{host} refuses connections", kind: "bad" },
    err: { sentence: "{host} speaks SMTP but turns us away ({code})", kind: "good" },
    df: { sentence: "DNS gave no answer for now", kind: "unknown" },
    bad_mx: { sentence: "has an MX host listed as bad: {key}", kind: "bad" },
  },
})); // prettier-ignore
await withWords(Promise.resolve());

const HISTORY = {
  step_s: 15,
  times: [100, 115, 130],
  checks: [null, 3, 0],
  shed: [null, 0, 0],
  verdicts: { gd: [null, 1, 0], err: [null, 1, 0], rf: [null, 1, 0], new: [null, 2, 0] },
  p50_ms: [null, 2, null],
  p99_ms: [null, 80, null],
};

test("verdicts are put together by kind; what nobody counted stays unknown", () => {
  assert.deepEqual(byKind(HISTORY, kindOf), { good: [null, 2, 0], neutral: [null, 0, 0], unknown: [null, 2, 0], bad: [null, 1, 0] });
});

test("columns stand on each other", () => {
  assert.deepEqual(stacked([[1, null, 2], [1, null, 0], [3, null, 1]]), [[1, null, 2], [2, null, 2], [5, null, 3]]);
});

test("plots are told in a sentence", () => {
  assert.match(verdictSummary(HISTORY.times, byKind(HISTORY, kindOf)), /^Verdicts from .* to .*: 2 good, 0 neutral, 2 unknown, 1 bad\.$/);
  assert.match(latencySummary(HISTORY), /median was at most 2\.0 ms, the 99th percentile at most 80\.0 ms\.$/);
  assert.match(latencySummary({ ...HISTORY, p50_ms: [], p99_ms: [], times: [] }), /no checks/);
});

test("of a table only what was counted is told, the newest first", () => {
  assert.deepEqual(told([1, 2, 3], [[1, 0, 2], [null, 0, 1]]), [{ time: 3, values: [2, 1] }, { time: 1, values: [1, null] }]);
  assert.deepEqual(ranked({ a: 1, b: 3, c: 0 }), [["b", 3], ["a", 1]]);
});

/**
 * @param {string} verdict
 * @param {string} host
 * @param {TraceStep[]} trace
 * @returns {DomainReply}
 */
const about = (verdict, host = "mx.x.test", trace = []) => ({ domain: "x.test", source: "from", verdict, host, cached: false, time_ms: 1, trace });

test("a verdict is one sentence about its domain", () => {
  assert.equal(sentence(about("gd")), "x.test receives mail: mx.x.test answers");
  assert.equal(sentence(about("rf")), "x.test: mx.x.test refuses connections");
  assert.equal(sentence(about("rf", "x.test")), "x.test refuses connections");
  assert.equal(sentence(about("err:550")), "x.test: mx.x.test speaks SMTP but turns us away (550)");
  assert.equal(sentence(about("df")), "x.test: DNS gave no answer for now");
  assert.equal(sentence(about("bad_mx")), "x.test has an MX host listed as bad");
  const hit = { at_ms: 0, step: "map", setting: "bad_mxs", key: "mx.x.test" };
  assert.equal(sentence(about("bad_mx", "x.test", [hit])), "x.test has an MX host listed as bad: mx.x.test");
});

test("names with signs of a template stay what they are", () => {
  assert.equal(sentence(about("gd", "$&{code}{key}$1.test")), "x.test receives mail: $&{code}{key}$1.test answers");
});

test("verdicts that are not known are told by their code", () => {
  for (const verdict of ["new", "constructor", "__proto__", "toString"]) {
    assert.equal(sentence(about(verdict)), `x.test ended with ${verdict}`);
    assert.equal(kindOf(verdict), "unknown");
    assert.ok(!isVerdict(verdict));
  }
});

test("of an address it takes few words", () => {
  assert.deepEqual(["gd", "rf", "err:554", "err", "bad_mx", "l"].map(short), [
    "answers", "refuses connections", "speaks SMTP but turns us away (554)", "speaks SMTP but turns us away",
    "has an MX host listed as bad", "a probe is under way",
  ]); // prettier-ignore
});
