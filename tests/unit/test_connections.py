"""Bounds of connections that no caller can show from outside: descriptors, and what is looked at how often."""

import asyncio
import resource
from collections.abc import Iterator
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from mxcheck_service.metrics import Metrics
from mxcheck_service.web.arrivals import MOST, Arrivals
from mxcheck_service.web.connections import Connection, Connections, most_connections
from mxcheck_service.web.errors import ApiError
from mxcheck_service.web.gate import Gate


class Stub:
    """A connection, as far as room is made by looking at it."""

    def __init__(self, since: float, *, served: bool = False, spare: bool = True) -> None:
        self.idle_since = since
        self.served = served
        self.spare = spare
        self.dropped = False

    def drop(self) -> None:
        self.dropped = True


@pytest.fixture
def limit() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def connections(most: int) -> Connections:
    async def nobody(request: web.BaseRequest) -> web.StreamResponse:
        raise AssertionError

    return Connections(web.Server(nobody), cast(Gate, None), Metrics([]), seconds=1.0, most=most)


def taken(all_: Connections, *stubs: Stub) -> list[bool]:
    return [all_.take(cast(Connection, stub)) for stub in stubs]


def test_half_of_the_descriptors_are_not_callers(limit: None) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    assert (most_connections(100), most_connections(4096)) == (100, 256)


def test_without_a_limit_of_descriptors_the_setting_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert most_connections(4096) == 4096


async def test_the_older_half_of_the_new_goes_and_the_longest_idle_when_these_are_few() -> None:
    all_ = await connections(6)
    new = [Stub(0), Stub(1), Stub(2), Stub(3)]
    served = [Stub(-2, served=True), Stub(-1, served=True)]
    taken(all_, *new, *served)
    assert taken(all_, Stub(4)) == [True]
    assert [stub.dropped for stub in (*new, *served)] == [True, True, False, False, False, False]
    all_ = await connections(3)
    stubs = [Stub(0), Stub(5, served=True), Stub(4, served=True)]
    taken(all_, *stubs)
    assert taken(all_, Stub(6)) == [True]
    assert [stub.dropped for stub in stubs] == [False, False, True]


async def test_the_only_one_that_can_be_spared_goes_even_when_it_is_new() -> None:
    all_ = await connections(2)
    stubs = [Stub(0, spare=False), Stub(1)]
    taken(all_, *stubs)
    assert taken(all_, Stub(2)) == [True]
    assert [stub.dropped for stub in stubs] == [False, True]


async def test_a_look_in_vain_is_not_repeated_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    all_ = await connections(1)
    busy = Stub(0, spare=False)
    now = 100.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    assert taken(all_, busy, Stub(1)) == [True, False]
    busy.spare = True
    assert taken(all_, Stub(2)) == [False]
    now += 0.1
    assert taken(all_, Stub(3)) == [True]
    assert (len(all_), all_.displaced, busy.dropped) == (1, 1, True)


async def test_a_defect_before_the_route_is_told_as_such() -> None:
    connection = (await connections(1))()
    request = make_mocked_request("GET", "/")
    cast(Any, request.writer).output_size = 0
    response = connection.handle_error(request, 500, RuntimeError("secret"))
    assert isinstance(response, web.Response)
    assert response.content_type == "application/problem+json"
    assert b"secret" not in cast(bytes, response.body)
    cast(Any, request.writer).output_size = 1
    with pytest.raises(ConnectionError):
        connection.handle_error(request, 500, RuntimeError("secret"))


class Body:
    """A request whose body never comes, or whose caller goes."""

    def __init__(self, end: Exception | None = None) -> None:
        self.content = self
        self._end = end

    def is_eof(self) -> bool:
        return False

    async def read(self) -> bytes:
        if self._end:
            raise self._end
        await asyncio.get_running_loop().create_future()
        raise AssertionError


async def test_of_too_many_bodies_the_oldest_is_given_up() -> None:
    arrivals = Arrivals(3600)
    waits = [asyncio.create_task(arrivals.whole(cast(web.Request, Body()))) for _ in range(MOST + 2)]
    done, _ = await asyncio.wait(waits, timeout=5, return_when=asyncio.FIRST_EXCEPTION)
    while len(done) < 2:
        more, _ = await asyncio.wait(set(waits) - done, timeout=5, return_when=asyncio.FIRST_EXCEPTION)
        done |= more
    assert done == set(waits[:2])
    assert {cast(ApiError, task.exception()).status for task in done} == {408}
    assert len(arrivals) == MOST
    for task in waits[2:]:
        task.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    assert len(arrivals) == 0


async def test_a_caller_who_goes_in_the_middle_of_the_body_is_no_defect() -> None:
    with pytest.raises(ApiError, match="has gone"):
        await Arrivals(1).whole(cast(web.Request, Body(ConnectionResetError())))
