"""/v1/check: the forms of the request, the shape of the reply, and what is said to a wrong request."""

import asyncio
import gzip
import io
import json
from typing import Any

import pytest

from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.dnsd import DnsServer
from tests.lab.smtp import SmtpPeers
from tests.web.conftest import Client, StartService


async def check(client: Client, body: object, **query: str) -> dict[str, Any]:
    async with client.post("/v1/check", json=body, params=query) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "application/json"
        reply: dict[str, Any] = await response.json()
        return reply


async def refused(client: Client, data: bytes | str, status: int, content_type: str = "application/json") -> Any:
    async with client.post("/v1/check", data=data, headers={"Content-Type": content_type}) as response:
        assert response.status == status
        assert response.content_type == "application/problem+json"
        problem = await response.json()
        assert problem["status"] == status
        assert problem.keys() >= {"type", "title", "detail"}
        return problem


async def test_the_reply_has_the_shape_of_the_contract(client: Client) -> None:
    reply = await check(client, {"sender": "user@good.test"})
    (domain,) = reply["domains"]
    assert domain.pop("time_ms") > 0
    assert reply.pop("time_real") > 0
    assert reply == {
        "is_skipped": False,
        "skip_reason": None,
        "action": "no action",
        "messages": {},
        "score": -0.1,
        "symbols": {
            "MX_GOOD": {
                "name": "MX_GOOD",
                "metric_score": -0.1,
                "weight": 1.0,
                "score": -0.1,
                "options": ["mx.good.test"],
                "description": "Domain has a working MX",
            }
        },
        "domains": [
            {"domain": "good.test", "source": "from", "verdict": "gd", "host": "mx.good.test", "cached": False}
        ],
        "partial": False,
    }


async def test_the_second_answer_comes_from_the_cache(client: Client, dns_server: DnsServer) -> None:
    await check(client, {"sender": "user@good.test"})
    reply = await check(client, {"sender": "user@good.test"})
    assert reply["domains"][0]["cached"] is True
    assert dns_server.count("good.test", "MX") == 1


async def test_a_reject_carries_its_message(start: StartService) -> None:
    client = await start(mx_check={"reject_null_mx": True, "reject_null_mx_message": "no thanks"})
    reply = await check(client, {"sender": "user@null.test"})
    assert reply["action"] == "reject"
    assert reply["messages"] == {"smtp_message": "no thanks"}
    assert reply["symbols"]["MX_NULL"]["score"] == 6.0


@pytest.mark.parametrize("sender", [None, "", "<>"])
async def test_helo_stands_in_for_the_null_sender(client: Client, sender: str | None) -> None:
    reply = await check(client, {"sender": sender, "helo": "null.test"})
    assert reply["domains"][0] | {"time_ms": 0} == {
        "domain": "null.test", "source": "from", "verdict": "null", "host": "null.test", "cached": False, "time_ms": 0,
    }  # fmt: skip


async def test_each_domain_is_checked_once_with_its_best_source(client: Client) -> None:
    reply = await check(
        client,
        {
            "sender": "a@good.test",
            "reply_to": "List <list@NULL.test>, x@good.test",
            "mime_from": ["Jo <jo@null.test>", "other@nowhere.test"],
        },
    )
    assert [(domain["domain"], domain["source"]) for domain in reply["domains"]] == [
        ("good.test", "from"),
        ("null.test", "reply_to"),
        ("nowhere.test", "mime_from"),
    ]
    assert set(reply["symbols"]) == {"MX_GOOD", "REPLYTO_MX_NULL", "MIME_FROM_MX_NONE"}
    assert reply["score"] == pytest.approx(9.9)
    assert reply["action"] == "greylist"


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        ({"authenticated": True}, "authenticated"),
        ({"client_ip": "10.1.2.3"}, "local"),
        ({"client_ip": "::1"}, "local"),
        ({"authenticated": True, "client_ip": "10.1.2.3"}, "authenticated"),
    ],
)
async def test_authenticated_and_local_mail_is_skipped(client: Client, who: dict[str, object], reason: str) -> None:
    reply = await check(client, {"sender": "a@null.test", **who})
    assert reply["is_skipped"] is True
    assert reply["skip_reason"] == reason
    assert reply["symbols"] == {}
    assert reply["domains"] == []


async def test_nothing_to_check_is_an_answer(client: Client) -> None:
    reply = await check(client, {})
    assert (reply["domains"], reply["symbols"], reply["score"]) == ([], {}, 0)


async def test_explain_adds_the_steps_with_their_times(client: Client) -> None:
    reply = await check(client, {"sender": "a@good.test"}, explain="1")
    trace = reply["domains"][0]["trace"]
    assert [step["step"] for step in trace] == [
        "cache", "dns", "cache", "dns", "ip_class", "cache", "lock", "probe", "verdict"
    ]  # fmt: skip
    assert [step["at_ms"] for step in trace] == sorted(step["at_ms"] for step in trace)
    assert trace[1]["answer"] == ["10 mx.good.test."]
    assert (trace[4]["local"], trace[4]["bogon"]) == ([], [])
    assert trace[4]["public"] == trace[3]["answer"]
    assert trace[-2]["verdict"] == "gd"
    assert 0 < trace[-2]["connect_ms"] <= trace[-2]["at_ms"]


async def test_get_takes_the_same_fields(client: Client) -> None:
    query = [
        ("sender", "a@good.test"),
        ("mime_from", "b@null.test"),
        ("mime_from", "c@nowhere.test"),
        ("authenticated", "false"),
        ("deadline_ms", "4000"),
        ("explain", "1"),
    ]
    async with client.get("/v1/check", params=query) as response:
        assert response.status == 200
        reply = await response.json()
    assert [domain["verdict"] for domain in reply["domains"]] == ["gd", "null", "no"]
    assert reply["domains"][0]["trace"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("sendr=a@b.test", "sendr"),
        ("sender=a@b.test&sender=c@d.test", "sender"),
        ("explain=perhaps", "explain"),
        ("authenticated=perhaps", "authenticated"),
        ("deadline_ms=soon", "deadline_ms"),
        ("client_ip=host.test", "client_ip"),
    ],
)
async def test_get_names_the_wrong_parameter(client: Client, query: str, field: str) -> None:
    async with client.get(f"/v1/check?{query}") as response:
        assert response.status == 422
        assert [error["field"] for error in (await response.json())["errors"]] == [field]


async def test_an_unknown_query_parameter_of_post_is_named(client: Client) -> None:
    async with client.post("/v1/check", json={}, params={"explian": "1"}) as response:
        assert response.status == 422
        assert (await response.json())["errors"] == [{"field": "explian", "message": "unknown query parameter"}]


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"nonsense", b'{"sender": "\xff"}', b'{"sender": "\\ud800"}', b"[" * 100_000, b'{"sender": NaN1}'],
    ids=["empty", "cut off", "text", "not UTF-8", "lone surrogate", "deep", "no number"],
)
async def test_what_is_not_json_is_400(client: Client, data: bytes) -> None:
    await refused(client, data, 400)


WRONG_BODIES: dict[str, tuple[object, set[str]]] = {
    "list": ([], {"body"}),
    "string": ("a@b.test", {"body"}),
    "number": (1, {"body"}),
    "null": (None, {"body"}),
    "types": (
        {"sender": 1, "mime_from": {"a": 1}, "reply_to": [1], "helo": [], "authenticated": "yes", "client_ip": 4},
        {"sender", "mime_from", "reply_to", "helo", "authenticated", "client_ip"},
    ),
    "unknown fields": ({"sender": "a@b.test", "from": "x", "to": "y"}, {"from", "to"}),
    "host as address": ({"client_ip": "localhost"}, {"client_ip"}),
    "address with port": ({"client_ip": "192.0.2.1:25"}, {"client_ip"}),
    "zone id": ({"client_ip": "fe80::1%eth0"}, {"client_ip"}),
    "NUL in the address": ({"client_ip": "192.0.2.1\0"}, {"client_ip"}),
    "no time at all": ({"deadline_ms": 0}, {"deadline_ms"}),
    "time as text": ({"deadline_ms": "5"}, {"deadline_ms"}),
    "10,000 addresses": ({"mime_from": ", ".join(f"u@d{n}.test" for n in range(10_000))}, {"mime_from"}),
    "10,000 values": ({"reply_to": ",".join(["u@d.test"] * 10_000)}, {"reply_to"}),
}


@pytest.mark.parametrize("name", WRONG_BODIES)
async def test_wrong_fields_are_422_and_named(client: Client, name: str, dns_server: DnsServer) -> None:
    body, fields = WRONG_BODIES[name]
    problem = await refused(client, json.dumps(body), 422)
    assert {error["field"] for error in problem["errors"]} == fields
    assert all(error["message"] for error in problem["errors"])
    assert dns_server.asked == []


@pytest.mark.parametrize("path", ["/v1/check", "/checkv2"])
@pytest.mark.parametrize("coding", ["gzip", "GZIP ", "br", "zstd", "x-unheard-of"])
async def test_a_compressed_body_is_415(
    client: Client, path: str, coding: str, caplog: pytest.LogCaptureFixture
) -> None:
    sent = {"Content-Type": "application/json", "Content-Encoding": coding}
    async with client.post(path, data=gzip.compress(b"{}"), headers=sent) as response:
        assert response.status == 415
        assert response.headers["Accept-Encoding"] == "identity"
    async with client.post(path, data=b"{}", headers=sent | {"Content-Encoding": "identity"}) as response:
        assert response.status == 200
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("body", "named"),
    [(dict.fromkeys(map(str, range(101)), 1), None), ({"mime_from": [1] * 100_000}, "mime_from")],
    ids=["unknown fields", "a list"],
)
async def test_the_refusal_is_short_however_many_faults_there_are(
    client: Client, body: object, named: str | None
) -> None:
    """Of a list the first fault is looked for and no other."""
    async with client.post("/v1/check", json=body) as response:
        assert response.status == 422
        assert len(await response.read()) < 1000
        problem = await response.json()
    assert [error["field"] for error in problem.get("errors", [])] == ([named] if named else [])
    assert ("101 faults" in problem["detail"]) == (named is None)


@pytest.mark.parametrize(
    ("text", "action"),
    [
        (b'{"sender": "a@null.test", "sender": null}', "no action"),
        (b'{"sender": null, "sender": "a@null.test"}', "greylist"),
        (b'{"sender": 1, "sender": "a@null.test"}', "greylist"),
    ],
)
async def test_of_a_field_given_twice_the_last_counts(client: Client, text: bytes, action: str) -> None:
    headers = {"Content-Type": "application/json"}
    async with client.post("/v1/check", data=text, headers=headers) as response:
        assert (await response.json())["action"] == action


async def test_the_time_may_have_a_fraction(client: Client) -> None:
    for milliseconds in (4500.0, 4500.5):
        await check(client, {"sender": "a@null.test", "deadline_ms": milliseconds})


async def test_another_content_type_is_415(client: Client) -> None:
    await refused(client, b"{}", 415, "text/plain")


async def test_a_body_of_a_megabyte_is_413(client: Client) -> None:
    async with client.post(
        "/v1/check",
        data=io.BytesIO(json.dumps({"sender": "a" * 1_048_576}).encode()),
        headers={"Content-Type": "application/json"},
    ) as response:
        assert response.status == 413
        assert response.content_type == "application/problem+json"


NO_DOMAINS: dict[str, dict[str, object]] = {
    "no @": {"sender": "postmaster"},
    "nothing behind the @": {"sender": "user@"},
    "NUL": {"sender": "a@b\0.test"},
    "newline": {"sender": "a@b.test\r\nSET x y"},
    "an address literal": {"sender": "a@[192.0.2.1]"},
    "an IPv6 literal with a zone": {"sender": "a@[IPv6:fe80::1%eth0]"},
    "HELO with spaces": {"sender": None, "helo": "my nice host"},
    "HELO literal": {"sender": None, "helo": "[192.0.2.1]"},
    "a broken encoded word": {"mime_from": "=?utf-8?B?%%%?= <a@>", "reply_to": "=?nope?Q?=ZZ?="},
    "only a name": {"mime_from": "Jo Public"},
    "a colon": {"sender": "a@x:m:y"},
}


@pytest.mark.parametrize("name", NO_DOMAINS)
async def test_what_is_no_domain_name_is_never_looked_up(client: Client, name: str, dns_server: DnsServer) -> None:
    reply = await check(client, NO_DOMAINS[name])
    assert reply["domains"] == []
    assert dns_server.asked == []


@pytest.mark.parametrize("domain", [f"{'x.' * 150}test", f"{'x' * 64}.test", "b..test"], ids=lambda name: name[:9])
async def test_what_cannot_be_in_dns_does_not_exist_and_is_not_asked_for(
    client: Client, domain: str, dns_server: DnsServer
) -> None:
    reply = await check(client, {"sender": f"a@{domain}"})
    assert [(one["domain"], one["verdict"]) for one in reply["domains"]] == [(domain, "no")]
    assert (list(reply["symbols"]), reply["score"]) == (["MX_NONE"], 4.0)
    assert dns_server.asked == []


async def test_of_several_ats_the_last_one_counts(client: Client) -> None:
    reply = await check(client, {"sender": "a@b@good.test"})
    assert [domain["domain"] for domain in reply["domains"]] == ["good.test"]


async def test_the_caller_can_ask_for_less_time(client: Client, dns_server: DnsServer, smtp_peers: SmtpPeers) -> None:
    """What is not known by then is MX_INFLIGHT; the lookup goes on, and its verdict is there for the next message."""
    answer = asyncio.Event()
    peer = smtp_peers.add(scripts.good())
    dns_server.set("slow.test", "MX", dns.Delayed(dns.mx((10, "mx.slow.test.")), until=answer))
    dns_server.set("mx.slow.test", "A", dns.a(peer.address))
    reply = await check(client, {"sender": "a@slow.test", "mime_from": "b@null.test", "deadline_ms": 50})
    assert reply["partial"] is True
    assert [domain["verdict"] for domain in reply["domains"]] == ["inflight", "null"]
    assert set(reply["symbols"]) == {"MX_INFLIGHT", "MIME_FROM_MX_NULL"}
    answer.set()
    await peer.wait_ended()
    later = await check(client, {"sender": "a@slow.test"})
    assert later["domains"][0]["verdict"] == "gd"
    assert dns_server.count("slow.test", "MX") == 1
    assert peer.connections == 1
