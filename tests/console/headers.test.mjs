/** Pasted headers: what of them becomes a question. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { fields, fromHeaders } from "../../mxcheck_service/console/headers.js";

const NOTHING = { sender: "", mime_from: "", reply_to: "", helo: "", client_ip: "", authenticated: false };

/** @param {string[]} lines */
const read = (...lines) => fromHeaders(lines.join("\n"));

test("a whole head, as Postfix writes it", () => {
  const found = read(
    "Return-Path: <bounce@example.com>",
    "Received: from mail.example.com (host-9.example.net [203.0.113.9])",
    "\tby mx.example.org (Postfix) with ESMTPS id 4XYZ",
    "\tfor <me@example.org>; Sun, 29 Nov 2026 15:00:00 +0000 (UTC)",
    "From: =?utf-8?q?J=C3=B6?= <jo@example.com>",
    "Reply-To: other@example.net",
    "Subject: hello",
    "",
    "From: not@a.header",
  );
  assert.deepEqual(found, {
    ...NOTHING,
    sender: "bounce@example.com",
    mime_from: "=?utf-8?q?J=C3=B6?= <jo@example.com>",
    reply_to: "other@example.net",
    helo: "mail.example.com",
    client_ip: "203.0.113.9",
  });
});

test("folded values become one line, whatever the ends of lines", () => {
  assert.deepEqual(fields("From: A\r\n  <a@b.example>\r\nX: 1\rY:\r\t2\n"), [
    { name: "from", value: "A <a@b.example>" },
    { name: "x", value: "1" },
    { name: "y", value: "2" },
  ]);
});

test("blank lines before the headers are no end of them", () => {
  assert.equal(read("", "  ", "From: a@b.example")?.mime_from, "a@b.example");
});

test("the null sender stays one", () => {
  assert.equal(read("Return-Path: <>", "X-Envelope-From: <a@b.example>")?.sender, "<>");
});

test("without a Return-Path it is X-Envelope-From", () => {
  assert.equal(read("X-Envelope-From: a@b.example", "From: c@d.example")?.sender, "a@b.example");
});

test("of several From all count, of several Reply-To the first", () => {
  const found = read("From: a@b.example", "From: c@d.example", "Reply-To: e@f.example", "Reply-To: g@h.example");
  assert.equal(found?.mime_from, "a@b.example\nc@d.example");
  assert.equal(found?.reply_to, "e@f.example");
});

for (const [server, value, helo, ip] of [
  ["exim", "from [203.0.113.9] (helo=mail.example.com)\n by mx.example.org with esmtp (Exim 4.96)", "mail.example.com", "203.0.113.9"],
  ["exim with a name", "from host.example ([203.0.113.9] helo=mail.example.com) by mx.example.org", "mail.example.com", "203.0.113.9"],
  ["qmail", "from unknown (HELO mail.example.com) (203.0.113.9)\n by mx.example.org with SMTP", "mail.example.com", "203.0.113.9"],
  ["exchange", "from mail.example.com (203.0.113.9) by mx.example.org (10.0.0.1)", "mail.example.com", "203.0.113.9"],
  ["IPv6", "from mail.example.com (unknown [IPv6:2001:db8::9]) by mx.example.org", "mail.example.com", "2001:db8::9"],
  ["a HELO that is an address", "from [192.0.2.1] (host.example [203.0.113.9]) by mx.example.org", "", "203.0.113.9"],
  ["no reverse name", "from mail.example.com ([203.0.113.9]) by mx.example.org", "mail.example.com", "203.0.113.9"],
  ["no end", "from mail.example.com (x [203.0.113.9]", "mail.example.com", "203.0.113.9"],
]) {
  test(`HELO and client of a Received line: ${server}`, () => {
    const found = read(`Received: ${value}`);
    assert.deepEqual([found?.helo, found?.client_ip], [helo, ip]);
  });
}

test("how a message was handed on inside the host is passed over", () => {
  const found = read(
    "Received: from mx.example.org by mx.example.org with LMTP id 1",
    "Received: by mx.example.org (Postfix, from userid 1000) id 2",
    "Received: from localhost (localhost [127.0.0.1]) by mx.example.org",
    "Received: from mail.example.com (x [203.0.113.9]) by mx.example.org",
    "Received: from earlier.example (y [192.0.2.7]) by mail.example.com",
  );
  assert.deepEqual([found?.helo, found?.client_ip], ["mail.example.com", "203.0.113.9"]);
});

test("what tells nothing is no question", () => {
  for (const text of ["", "hello there", "Subject: x\nTo: a@b.example", "\n\nFrom a@b.example Sun Nov 29", "From:"]) {
    assert.equal(fromHeaders(text), null, JSON.stringify(text));
  }
});

test("hostile headers take no time, and stay text", () => {
  const began = process.hrtime.bigint();
  const blanks = " ".repeat(200_000);
  read(`Received: from${blanks}${"(".repeat(50_000)}[${":".repeat(50_000)}`, `From: <${"<".repeat(100_000)}`, `${"a".repeat(100_000)}`);
  assert.ok(process.hrtime.bigint() - began < 2_000_000_000n);
  assert.equal(read("From: <script>alert(1)</script>")?.mime_from, "<script>alert(1)</script>");
  assert.equal(read("__proto__: x", "constructor: y", "From: a@b.example")?.mime_from, "a@b.example");
});
