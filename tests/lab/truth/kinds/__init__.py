"""Every kind of mail domain in the world, a module for each group.

What the kinds take for granted of the world that runs them:

Placeholders are `{behaviour}`, `{behaviour.2}` (a second address that behaves so), `{behaviour.v6}` and
`{behaviour.2.v6}`. Within a kind the same placeholder is the same address; no two kinds share one. `{domain}` is
`<name>.<zone>`. Both are filled in in `records`, `recipient_domain` and `message`. `64:ff9b::{good}` and
`::ffff:{good}` are IPv6 addresses as well (RFC 4291 section 2.2), though dnslib wants them in colons and hex digits.

Addresses written out (10.1.2.3, 192.0.2.9) are nobody's: packets to them get lost. 127.0.0.1, ::1 and 0.0.0.0 are
ourselves, where no mail is taken.

The names of all kinds are in one zone of the world, so a kind may be an alias. Other names (`mail.example.invalid.`)
do not exist, but for what a resolver knows by itself (`localhost.`). Names keep the case in which they are written.

Postfix waits longer than half a minute for a greeting and tries again at least once, for those that are good from the
second connection on. How many addresses it tries (smtp_mx_address_limit, 5 by default) decides `backup-tenth` and
`mx-fifty-last-good`. Some recipients it does not even take (`name-label-64`): nobody can deliver to them.

Behaviours of addresses:

| placeholder | what stands there |
| --- | --- |
| good | greets at once with one line, and takes mail for anybody |
| refused, unreachable, prohibited | nobody: TCP reset, ICMP host unreachable, ICMP administratively prohibited |
| blackhole | nobody: no answer at all |
| flaky | refuses a client's first connection, and is good from then on |
| silent, eof, reset | accepts, then never says anything, closes, resets |
| tarpit-5, tarpit-10, tarpit-30 | good, but greets after so many seconds |
| slow-line-5, slow-line-30 | good: `220-` at once, `220 ` after so many seconds |
| trickle | good: a multi-line greeting, byte by byte, 50 ms apart |
| multi-line, lf-only, bare-code, nul-bytes | good, with a greeting of this shape |
| long-line | good, with a greeting line of 2000 octets |
| code-200, code-250 | greets with this code in place of 220, and takes mail if the client goes on |
| mixed-codes | greets with `220-` and a last line of `554 `, and closes |
| code-421, code-450, code-451, code-521, code-550, code-554 | greets with this code and closes |
| once-421, once-450 | greets a client's first connection so, and is good from then on |
| blocklist-421, blocklist-550, blocklist-554 | so, with a text that names the client's address and a blocklist |
| ehlo-eof, ehlo-silent, ehlo-reset | `220`, then at EHLO closes, says nothing, resets |
| helo-only | good, knows no EHLO (502) but HELO |
| greylist | good, but answers the first RCPT with 450, and takes it from the second connection on |
| rcpt-550, rcpt-450 | good up to RCPT, which it always answers so |
| http | a web server: waits for the client first, and answers its first line with 400 and closes |
| http-400 | a web server that says 400 and closes before the client has said anything |
| ssh, pop3, ftp | greets as such servers do (`SSH-2.0-…`, `+OK …`, `220 … FTP server`), knows no SMTP command |
| tls | speaks TLS from the first octet, and waits for the client's part |
| garbage | octets of no meaning, without CRLF, then silence |
| postfix, postscreen, exim, opensmtpd | the real one, with mail for anybody accepted |

Behaviours of the name server, by (relative name, type), with `*` for every type:

| behaviour | what it does |
| --- | --- |
| servfail, refused, nxdomain, formerr | answers with that |
| drop | never answers |
| garbage | answers with something that is no DNS message |
| servfail-once | the first question so, then from the zone |
| slow-3 | answers from the zone after 3 seconds |
| truncated | an empty answer with TC over UDP, all of it over TCP |
| truncated-only | TC over UDP, and nothing over TCP |
| no-edns | FORMERR to a question with EDNS, the zone's answer to one without |
| delegated | (`@`, `*`) the domain is a zone of its own, on another server that is sound |
| lame | (`@`, `*`) delegated to servers that refuse to answer for it |
| lame-drop | (`@`, `*`) delegated to servers that do not answer at all |
| half-lame | (`@`, `*`) delegated to two servers, one lame and one sound |
| bogus | (`@`, `*`) signed, but not by the key that is trusted: a validating resolver says SERVFAIL |
"""

from tests.lab.truth.kind import Kind
from tests.lab.truth.kinds import (
    addresses,
    backup,
    dead,
    dns_faults,
    families,
    greetings,
    implicit,
    mtas,
    naming,
    our_side,
    records,
    sound,
)

ALL: tuple[Kind, ...] = (
    *sound.KINDS,
    *backup.KINDS,
    *addresses.KINDS,
    *dead.KINDS,
    *implicit.KINDS,
    *records.KINDS,
    *naming.KINDS,
    *families.KINDS,
    *greetings.KINDS,
    *mtas.KINDS,
    *dns_faults.KINDS,
    *our_side.KINDS,
)
"""The order is that of the report: from what works, over what is odd, to what cannot be known."""
