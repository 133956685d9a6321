"""What operators watch the service with (dashboard, alerts, the list of metrics) names what a running one tells."""

import asyncio
import json
import re
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from mxcheck_service.core.breaker import ENOUGH
from mxcheck_service.metrics import Metrics
from mxcheck_service.web.routes import ENDPOINTS
from tests.e2e.test_metrics import Lab, check, told_once
from tests.lab import dns_behaviours as dns
from tests.lab import smtp_scripts as scripts
from tests.lab.dnsd import DnsServer
from tests.lab.exposition import Exposition
from tests.lab.promql import Use, uses
from tests.lab.redis import RedisServer
from tests.lab.service import UNLIMITED, Service
from tests.lab.smtp import SmtpPeers
from tests.lab.sockets import free_port

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "deploy/grafana/mxcheck.json").read_text())
ALERTS = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())
DOCUMENT = (ROOT / "docs/metrics.md").read_text()

TARGETS = {
    f"{panel['title']} {target['refId']}": target
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", ())
}
RULES = {rule["alert"]: rule for group in ALERTS["groups"] for rule in group["rules"]}
SCRAPED = frozenset({"job", "instance"})
"""Labels that Prometheus adds to all it scrapes."""


@pytest.fixture(scope="module")
def everything(redis_process: RedisServer) -> Exposition:
    """What a service tells that has counted at least once in every metric there is."""
    if not redis_process.running:
        redis_process.start()
    redis_process.flush()
    return asyncio.run(_everything(redis_process))


async def _everything(redis: RedisServer) -> Exposition:
    async with AsyncExitStack() as stack:
        lab = Lab(await stack.enter_async_context(DnsServer()), await stack.enter_async_context(SmtpPeers()))
        gone = f"http://127.0.0.1:{free_port()}/map"
        lab.mail("listed.test", scripts.rejects(554, text=b"blocked using bl.example"))
        lab.mail("late.test", scripts.silent())
        settings = lab.settings(redis.url, bad_mxs=["bad.test"], bad_ips=gone, connect_timeout=0.3)
        settings["improvements"] = (
            {"slow_greeting": 0.1, "greeting_patience": 0.2} | UNLIMITED | {"probes_per_suffix": 2}
        )
        service = stack.enter_context(Service(settings))
        async with aiohttp.ClientSession() as session, session.post(f"{service.url}/-/reload") as response:
            assert response.status == 500, "a map cannot be fetched"
        # DNS-only mode begins with the last but one of these, and ends with a trial.
        for number in range(ENOUGH + 1):
            lab.dns.set(f"hole{number}.test", "A", dns.a(await lab.peers.add_connect_timeout(f"127.9.{number}.1")))
        for number in range(ENOUGH + 1):
            await check(service, f"hole{number}.test")
        alive = dns.a(lab.peers.add(scripts.good()).address)
        for number in count():
            lab.dns.set(f"alive{number}.test", "A", alive)
            if await check(service, f"alive{number}.test") == ["gd"]:
                break
        await check(service, "good.test", "listed.test", "late.test")
        # So many under one name that even two minutes have no room for all of them.
        many = [f"mx{number}.many.test" for number in range(6)]
        for name in many:
            lab.mail(name, scripts.good())
        assert "ratelimited" in await check(service, *many, "none.test")
        await check(service, "slow.test", deadline_ms=100)
        second = asyncio.create_task(check(service, "slow.test"))
        await told_once(
            service, lambda told: told.value("mxcheck_inflight_waits_total", layer="d", result="shared") == 1
        )
        lab.answer.set()
        await second
        return await told_once(
            service,
            lambda told: all(
                map(
                    told.series,
                    ("mxcheck_background_lookups_total", "mxcheck_tracking_up", "mxcheck_late_greetings_total"),
                )
            ),
        )


def labels_of(told: Exposition, *samples: str) -> set[str]:
    """Return the labels of the samples of these names, which must be there."""
    found = [labels for name, labels in told.samples if name in samples]
    assert found, f"/metrics tells nothing of {' or '.join(samples)}"
    return {name for labels in found for name, _ in labels}


def test_the_document_lists_what_is_there(everything: Exposition) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", DOCUMENT, flags=re.MULTILINE)
    listed = {name.removesuffix("_total"): (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert listed == {
        name: (kind, labels_of(everything, name, f"{name}_total", f"{name}_count"))
        for name, kind in everything.kinds.items()
    }
    assert all(name.endswith("_total") == (kind == "counter") for name, kind, _ in rows)


def test_no_label_holds_a_name_or_an_address(everything: Exposition) -> None:
    values = {value for _, labels in everything.samples for _, value in labels}
    assert not {value for value in values if ".test" in value or "127." in value or "@" in value}


def hold(use: Use, told: Exposition) -> None:
    """Fail unless the metric is there with the labels that are relied on, and these can have the values asked for."""
    if use.metric == "up":  # Prometheus' own
        assert use.labels <= SCRAPED
        return
    assert use.labels - SCRAPED <= labels_of(told, use.metric), use
    foreseen = {
        label: [str(value) for value in values]
        for family in Metrics(ENDPOINTS).families
        if re.fullmatch(f"{family.name}(_total|_bucket|_sum|_count)?", use.metric)
        for label, values in zip(family.labels, family.foreseen, strict=True)
    }
    for label, pattern in use.chosen:
        if label not in SCRAPED:
            assert any(re.fullmatch(pattern, value) for value in foreseen[label]), f"{use.metric}: {label}={pattern}"
            for alternative in pattern.split("|"):
                assert any(re.fullmatch(alternative, value) for value in foreseen[label]), f"{label}={alternative}"


def asked(target: dict[str, Any]) -> list[Use]:
    """Return the metrics that a query of the dashboard names; the interval is Grafana's own variable."""
    return uses(target["expr"].replace("$__rate_interval", "5m"))


class TestDashboard:
    @pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
    def test_every_query_names_what_is_there(self, target: dict[str, Any], everything: Exposition) -> None:
        found = asked(target)
        assert found
        for use in found:
            hold(use, everything)
            assert use.labels >= SCRAPED, "the dashboard's variables choose the series"
        shown = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        assert shown <= SCRAPED.union(*(use.kept for use in found))

    def test_every_metric_is_shown(self, everything: Exposition) -> None:
        shown = {use.metric for target in TARGETS.values() for use in asked(target)}
        assert {re.sub("_(total|bucket)$", "", name) for name in shown} == set(everything.kinds)

    def test_the_data_source_is_a_variable(self) -> None:
        """A dashboard that names a data source by its uid works in the Grafana it was made in."""
        variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
        assert variables["datasource"]["type"] == "datasource"
        assert set(re.findall(r'"uid": "([^"]*)"', json.dumps(DASHBOARD))) == {"${datasource}"}
        used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD)))
        assert used - {"__rate_interval"} == set(variables)

    def test_no_panel_covers_another(self) -> None:
        taken: set[tuple[int, int]] = set()
        for panel in DASHBOARD["panels"]:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not cells & taken, panel["title"]
            assert at["x"] + at["w"] <= 24
            taken |= cells
        numbers = [panel["id"] for panel in DASHBOARD["panels"]]
        assert len(set(numbers)) == len(numbers)


class TestAlerts:
    @pytest.mark.parametrize("name", RULES)
    def test_every_expression_names_what_is_there(self, name: str, everything: Exposition) -> None:
        found = uses(RULES[name]["expr"])
        assert found
        for use in found:
            hold(use, everything)

    @pytest.mark.parametrize("name", RULES)
    def test_every_alert_says_what_to_do(self, name: str) -> None:
        rule = RULES[name]
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        document, _, anchor = rule["annotations"]["runbook"].partition("#")
        headings = re.findall(r"^#+ (.*)$", (ROOT / document).read_text(), flags=re.MULTILINE)
        assert anchor in {heading.lower() for heading in headings}
        # Sums keep these two labels, or nobody would know which instance it is.
        kept = re.findall(r"sum by \(([^)]*)\)", rule["expr"])
        assert all(set(labels.split(", ")) >= SCRAPED for labels in kept)
