/** Text for a person: nothing in it is hidden; and the line for a shell. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

import { curlLine, quoted } from "../../mxcheck_service/console/curl.js";
import { asciiJson, count, duration, milliseconds, percent, signed, visible } from "../../mxcheck_service/console/text.js";

test("what hides or turns text is written out", () => {
  const hidden = ["\u202a", "\u202e", "\u2066", "\u2069", "\u200e", "\u200f", "\u200b", "\u200d", "\ufeff", "\u00ad", "\u061c"];
  const controls = ["\0", "\t", "\n", "\r", "\x1b", "\x7f", "\x80", "\x9b", "\u2028", "\u2029", "\u00a0", "\u3000", "\ue000"];
  for (const char of [...hidden, ...controls]) {
    assert.equal(visible(`a${char}b`), `a\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}b`);
  }
  assert.equal(visible("\ud800"), "\\ud800");
  assert.equal(visible("\u{e0041}"), "\\U000e0041");
});

test("what can be seen stays as it is", () => {
  for (const text of ["mx.example.com", "<b>&amp;</b>", "Jö 例え ✓ 😀", "a b"]) assert.equal(visible(text), text);
});

test("numbers as people write them", () => {
  assert.deepEqual([0, 0.04, 1, 12.34, 250.4, 12_345].map(milliseconds), ["0 ms", "0.04 ms", "1.0 ms", "12.3 ms", "250 ms", "12.3 s"]);
  assert.deepEqual([0.2, 12, 600, 7200, 200_000].map(duration), ["under 1 s", "12 s", "10 min", "2 h", "2 d"]);
  assert.deepEqual([1, 1234, 1_234_567].map(count), ["1", "1,234", "1,234,567"]);
  assert.deepEqual([null, 0, 0.5, 0.9987, 1].map(percent), ["–", "0 %", "50 %", "99.9 %", "100 %"]);
  assert.deepEqual([4, -0.1, 0, 0.25].map(signed), ["+4.0", "−0.1", "0.0", "+0.25"]);
});

const NASTY = [
  "plain", "it's", "''", "$HOME `id` $(id)", "a\\b", "\"", "new\nline", "tab\tx", "\x1b[31m", "!history", "-d", "*?[a]", "~",
  "\u202egood", "Jö 😀", "\ud800", "%0a", "#", "a;b|c&d>e<f",
]; // prettier-ignore

test("a shell takes a quoted word for the text itself", () => {
  for (const text of NASTY.filter((each) => !/\p{Cs}/u.test(each))) {
    assert.equal(execFileSync("/bin/sh", ["-c", `printf %s ${quoted(text)}`]).toString(), text);
  }
});

test("the curl line is ASCII without a control character, and its JSON is what is sent", () => {
  for (const text of NASTY) {
    const line = curlLine("http://127.0.0.1:11340/v1/check?explain=1", { sender: text }, false);
    assert.match(line, /^[ -~]+$/);
    assert.deepEqual(JSON.parse(asciiJson({ sender: text })), { sender: text });
    const script = `curl() { for word; do printf '%s\\0' "$word"; done; }; ${line}`;
    const words = execFileSync("/bin/sh", ["-c", script]).toString().split("\0");
    assert.deepEqual(JSON.parse(words[words.indexOf("-d") + 1]), { sender: text });
  }
});

test("a token is named, never written", () => {
  const line = curlLine("http://x/", {}, true);
  assert.ok(line.includes('-H "Authorization: Bearer $MXCHECK_TOKEN"'));
});
