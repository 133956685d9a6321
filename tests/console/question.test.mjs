/** What is asked about, in its three forms. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { fromQuery, isEmpty, linkTo, nothing, toBody, toQuery } from "../../mxcheck_service/console/question.js";

const FULL = {
  sender: "a+b@c.example",
  mime_from: "Jo <jo@d.example>\nx@y.example",
  reply_to: "r@e.example",
  helo: "mail.c.example",
  client_ip: "2001:db8::1",
  authenticated: true,
};

test("a link leads back to the question", () => {
  assert.deepEqual(fromQuery(toQuery(FULL)), FULL);
  assert.deepEqual(fromQuery(toQuery(nothing())), nothing());
  const nasty = { ...nothing(), sender: "<script>&sender=x#\u202e@%00" };
  assert.deepEqual(fromQuery(toQuery(nasty)), nasty);
});

test("fields that are not known are no part of it", () => {
  assert.deepEqual(fromQuery("?deadline_ms=1&__proto__=x&sender=a%40b"), { ...nothing(), sender: "a@b" });
});

test("authenticated is a switch", () => {
  assert.deepEqual(["1", "true", "0", "", "no"].map((value) => fromQuery(`?authenticated=${value}`).authenticated), [true, true, false, false, false]);
});

test("the body has what is given, and nothing else", () => {
  assert.deepEqual(toBody(nothing()), {});
  assert.deepEqual(toBody(FULL), {
    sender: "a+b@c.example",
    mime_from: ["Jo <jo@d.example>", "x@y.example"],
    reply_to: "r@e.example",
    helo: "mail.c.example",
    client_ip: "2001:db8::1",
    authenticated: true,
  });
});

test("a domain is asked about as its postmaster", () => {
  assert.equal(toBody({ ...nothing(), sender: " c.example " }).sender, "postmaster@c.example");
  assert.equal(toBody({ ...nothing(), sender: "<>" }).sender, "<>");
  assert.equal(fromQuery(linkTo("c.example")).sender, "postmaster@c.example");
});

test("blanks are no question", () => {
  assert.ok(isEmpty({ ...nothing(), sender: "  ", authenticated: true }));
  assert.ok(!isEmpty({ ...nothing(), helo: "x" }));
});
