"""Every row of the table, over real sockets: HTTP, the service's own process, DNS servers, Redis, SMTP peers."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tests.e2e.scenarios.row import Row, Symbol, fill
from tests.e2e.scenarios.stage import NUMBERED, Stage, scene, stage
from tests.lab.redis import RedisServer

__all__ = ["stage"]  # the fixture
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("name", NUMBERED)
async def test_scenario(
    name: str,
    stage: Stage,
    redis_server: RedisServer,
    smtp_port: int,
    request: pytest.FixtureRequest,
) -> None:
    async with scene(name, stage, redis_server, smtp_port, request) as (row, names, service):
        reply = await asyncio.wait_for(service.check(fill(row.request, names)), 20)
        assert reply.status == 200, reply.body
        assert seen(reply.body) == wanted(row, names)


def seen(body: dict[str, Any]) -> dict[str, Any]:
    """What a reply says, in the form of the table."""
    assert body["score"] == pytest.approx(sum(symbol["score"] for symbol in body["symbols"].values()))
    for symbol in body["symbols"].values():
        assert symbol["score"] == pytest.approx(symbol["metric_score"] * symbol["weight"])
    return {
        "symbols": {
            name: Symbol(symbol["score"], tuple(symbol["options"]), symbol["weight"])
            for name, symbol in body["symbols"].items()
        },
        "action": body["action"],
        "messages": body["messages"],
        "skipped": (body["is_skipped"], body["skip_reason"]),
        "domains": tuple(
            f"{domain['domain']} {domain['source']} {domain['verdict']} {domain['host']}"
            + (" cached" if domain["cached"] else "")
            for domain in body["domains"]
        ),
        "partial": body["partial"],
    }


def wanted(row: Row, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "symbols": fill(row.symbols, names),
        "action": row.action,
        "messages": {} if row.smtp_message is None else {"smtp_message": row.smtp_message},
        "skipped": (row.skip_reason is not None, row.skip_reason),
        "domains": fill(row.domains, names),
        "partial": False,
    }
