"""`cache.url`: what it names, and what is said about one that names nothing."""

import re

import pytest

from mxcheck_service.cache_url import CacheUrl, Kind, parse, ports

SECRET = "s3cr3t"


@pytest.mark.parametrize("text", ["redis://h:1/2", "rediss://h", "unix:///s.sock?db=1", "redis://:p%40ss@h"])
def test_one_server_is_left_to_redis_py(text: str) -> None:
    assert parse(text) == CacheUrl(Kind.SERVER)


def test_memory_is_memory() -> None:
    assert parse("memory://") == CacheUrl(Kind.MEMORY)


@pytest.mark.parametrize("end", ["", "/", "/0"])
def test_a_cluster_is_some_of_its_nodes(end: str) -> None:
    url = parse(f"redis+cluster://a:7000,b,[::1]:7002{end}")
    assert (url.kind, url.nodes) == (Kind.CLUSTER, (("a", 7000), ("b", 6379), ("::1", 7002)))
    assert (url.database, url.credentials, url.sentinel_credentials) == (0, {}, {})


@pytest.mark.parametrize(("end", "database"), [("", 0), ("/", 0), ("/0", 0), ("/15", 15)])
def test_sentinels_watch_a_service(end: str, database: int) -> None:
    url = parse(f"redis+sentinel://a,127.0.0.1:5000/my%20redis{end}")
    assert (url.kind, url.nodes) == (Kind.SENTINEL, (("a", 26379), ("127.0.0.1", 5000)))
    assert (url.service, url.database) == ("my redis", database)


@pytest.mark.parametrize(
    ("before", "after", "credentials"),
    [
        ("", "", {}),
        (":p%40s%2Fs%2C@", "", {"password": "p@s/s,"}),
        ("us%3Aer:pass@", "", {"username": "us:er", "password": "pass"}),
        ("user@", "?password=pa%26ss", {"username": "user", "password": "pa&ss"}),
        ("", "?username=u&password=p", {"username": "u", "password": "p"}),
        (":p@ss@", "", {"password": "p@ss"}),
    ],
)
@pytest.mark.parametrize("form", ["redis+cluster://{}h:1,i:2{}", "redis+sentinel://{}h:1,i:2/s{}"])
def test_credentials_stand_before_the_hosts_or_in_the_query(
    form: str, before: str, after: str, credentials: dict[str, str]
) -> None:
    url = parse(form.format(before, after))
    assert url.nodes == (("h", 1), ("i", 2))
    assert url.credentials == credentials
    assert url.sentinel_credentials == {}


def test_sentinels_have_credentials_of_their_own() -> None:
    url = parse("redis+sentinel://u:p@h/s?sentinel_username=su&sentinel_password=sp")
    assert url.credentials == {"username": "u", "password": "p"}
    assert url.sentinel_credentials == {"username": "su", "password": "sp"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http://h", "must begin with memory://, redis://"),
        ("redis+cluster", "must begin with"),
        ("redis", "must begin with"),
        ("rediss+cluster://h:1", "TLS to Cluster and Sentinel is not supported"),
        ("rediss+sentinel://h:1/s", "TLS to Cluster and Sentinel is not supported"),
        ("redis://h:1/2?socket_timeout=soon", "socket_timeout"),
        ("redis+cluster://", "not host:port; write redis+cluster://"),
        ("redis+cluster://a:1,,b:2", "not host:port"),
        ("redis+cluster://a:0", "not host:port"),
        ("redis+cluster://a:70000", "not host:port"),
        ("redis+cluster://a:port", "not host:port"),
        ("redis+cluster://[::1", "not a URL; write redis+cluster://"),
        ("redis+cluster://a/1", "no database but 0"),
        ("redis+cluster://a?db=1", "may only be username, password"),
        ("redis+cluster://a?ssl=true", "TLS to Cluster and Sentinel is not supported"),
        ("redis+cluster://a?sentinel_password=x", "may only be username, password"),
        ("redis+sentinel://a:1", "the service"),
        ("redis+sentinel://a:1/", "the service"),
        ("redis+sentinel://a:1//0", "the service"),
        ("redis+sentinel://a:1/s/one", "not a number; write redis+sentinel://"),
        ("redis+sentinel://a:1/s/-1", "not a number"),
        ("redis+sentinel://a/s?ssl_ca_certs=x", "TLS to Cluster and Sentinel is not supported"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_write(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        parse(text)


@pytest.mark.parametrize("scheme", ["redis+cluster", "redis+sentinel"])
@pytest.mark.parametrize(
    "userinfo", [f":{SECRET}/x@", f"u:{SECRET}?x@", f":x/{SECRET}@", f":?{SECRET}@", f":[{SECRET}@"]
)
def test_a_password_that_was_not_quoted_is_not_repeated(scheme: str, userinfo: str) -> None:
    with pytest.raises(ValueError, match=r"write|may only be") as error:
        parse(f"{scheme}://{userinfo}h:1/s/x")
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("memory://", set()),
        ("unix:///run/redis.sock?db=1", set()),
        ("redis://h", {6379}),
        ("rediss://h:25/0", {25}),
        ("redis+cluster://a:7000,b", {7000, 6379}),
        ("redis+sentinel://a,b:5000/service", {26379, 5000}),
    ],
)
def test_ports(text: str, named: set[int]) -> None:
    assert ports(text) == named
