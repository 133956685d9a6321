"""From kinds of mail domain to addresses, zones and faults."""

from ipaddress import ip_address, ip_network

from tests.lab.truth.kind import Kind
from tests.lab.truth.kinds import ALL
from tests.lab.truth.names import child_zones, parent_zone
from tests.lab.truth.plan import NETWORKS, Place, Plan


def kind(records: str, name: str = "a", **more: object) -> Kind:
    return Kind(name, "group", "About.", records, **more)  # type: ignore[arg-type]


def test_the_same_placeholder_is_the_same_address_and_others_are_others() -> None:
    plan = Plan.of([kind("mx1 A {good}\nmx2 A {good}\nmx3 A {good.2}\nmx4 A {refused}"), kind("@ A {good}", "b")])
    assert plan.records == (
        "$ORIGIN a.truth.test.\nmx1 A 11.0.1.25\nmx2 A 11.0.1.25\nmx3 A 11.0.2.25\nmx4 A 11.0.3.25\n"
        "$ORIGIN b.truth.test.\n@ A 11.0.4.25\n"
    )
    # Nobody stands where connections are refused.
    assert plan.places == [Place("11.0.1.25", "good"), Place("11.0.2.25", "good"), Place("11.0.4.25", "good")]


def test_addresses_of_nobody_are_in_networks_where_packets_end() -> None:
    plan = Plan.of(
        [kind("a A {blackhole}\nb A {unreachable}\nc A {prohibited}\nd AAAA {blackhole.v6}\ne AAAA {good.v6}")]
    )
    addresses = [ip_address(line.split()[2]) for line in plan.records.splitlines()[1:]]
    routes = [
        next(route for route, both in NETWORKS.items() for network in both if address in ip_network(network))
        for address in addresses
    ]
    assert routes == ["blackhole", "unreachable", "prohibit", "blackhole", "local"]
    assert plan.places == [Place(str(addresses[4]), "good")]


def test_every_address_of_the_world_is_in_a_network_of_its_own_and_no_special_one() -> None:
    addresses = [ip_address(place.address) for place in Plan.of(ALL).places]
    networks = [ip_network((address, 24 if address.version == 4 else 64), strict=False) for address in addresses]
    assert len(set(networks)) == len(networks) > 300
    assert all(address.is_global for address in addresses)


def test_an_ipv4_address_within_an_ipv6_one_is_written_as_every_reader_knows_it() -> None:
    plan = Plan.of([kind("mx AAAA ::ffff:{good}\nmx AAAA 64:ff9b::{good}")])
    assert plan.records.splitlines()[1:] == [
        "mx AAAA 0000:0000:0000:0000:0000:ffff:0b00:0119",
        "mx AAAA 0064:ff9b:0000:0000:0000:0000:0b00:0119",
    ]


def test_domain_and_message_are_filled_in() -> None:
    plain, literal = (
        kind("@ A {good}"),
        kind("@ A {good}", "b", recipient_domain="[{good}]", message={"sender": "", "helo": "out.{domain}"}),
    )
    plan = Plan.of([plain, literal])
    assert (plan.domain(plain), plan.message(plain)) == ("a.truth.test", {"sender": "user@a.truth.test"})
    assert (plan.domain(literal), plan.message(literal)) == ("[11.0.2.25]", {"sender": "", "helo": "out.b.truth.test"})


def test_faults_are_by_absolute_name() -> None:
    plan = Plan.of([kind("@ MX 10 mx\nmx A {good}", dns={("@", "MX"): "servfail", ("mx", "A"): "drop"})])
    assert plan.faults == {("a.truth.test", "MX"): "servfail", ("mx.a.truth.test", "A"): "drop"}
    assert plan.zones == {}


def test_a_delegated_domain_is_a_zone_of_its_own_where_somebody_serves_it() -> None:
    plan = Plan.of(
        [
            kind("@ A {good}", name, dns={("@", "*"): behaviour})
            for name, behaviour in (("a", "delegated"), ("b", "lame"), ("c", "half-lame"), ("d", "lame-drop"))
        ]
    )
    assert plan.faults == {}
    assert child_zones(plan).keys() == {"a.truth.test", "c.truth.test"}
    assert "@ A 11.0.1.25" in child_zones(plan)["a.truth.test"].splitlines()
    parent = parent_zone(plan)
    assert "$ORIGIN b.truth.test.\n@ NS ns1\nns1 A 11.255.1.53" in parent
    assert "$ORIGIN c.truth.test.\n@ NS ns1\nns1 A 11.255.1.53\n@ NS ns2\nns2 A 11.255.0.53" in parent
    assert "$ORIGIN d.truth.test.\n@ NS ns1\nns1 A 13.255.0.53" in parent
    assert "11.0.1.25" not in parent


def test_what_was_counted_by_address_is_told_by_kind() -> None:
    plan = Plan.of([kind("a A {good}\nb A {refused}"), kind("@ A {good}", "b")])
    assert plan.by_kind({"11.0.1.25": 2, "11.0.2.25": 1, "11.0.3.25": 5, "192.0.2.9": 7}) == {"a": 3, "b": 5, "": 7}
