"""The overlays of deploy/kubernetes, as far as that can be known without a cluster: rendered by kubectl, held to
Kubernetes' schemas, and their containers' settings read by the service's own code."""

import copy
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml

from mxcheck_service import __version__
from mxcheck_service.app import LAST_WORDS
from mxcheck_service.config import ConfigError
from mxcheck_service.settings import Settings
from mxcheck_service.web.routes import ENDPOINTS
from tests.lab.manifests import (
    DEPLOY,
    ROOT,
    Document,
    containers,
    kubectls,
    mounted_files,
    of_kind,
    pod_of,
    render,
    settings,
    unrestricted,
)
from tests.lab.redis import RedisServer
from tests.lab.service import Service

OLDEST = "1.30"
"""The first Kubernetes with native sidecars and the hook `sleep`, as the overlays say."""
REDIS_URL = "redis://:secret@redis:6379/0"
SECRETS = {"redis-url": f"{REDIS_URL}\n", "auth-token": "one\n", "admin-token": "two\n"}
DNS_PORT = 53
PLUGIN = (ROOT / "rspamd" / "mxcheck.lua").read_text()


class Overlay(NamedTuple):
    documents: list[Document]
    deployment: Any
    pod: Any
    ours: Any
    """The container of the service."""
    files: dict[str, str]
    """What that container has mounted."""
    settings: Settings
    """What it runs with."""


def secret_in_the_manual(overlay: str) -> dict[str, str]:
    """The Secret that docs/deploy.md has an operator create for an overlay."""
    text = (ROOT / "docs" / "deploy.md").read_text()
    command = re.search(rf"kubectl create secret generic mxcheck ((?:.|\\\n)*)\n.*deploy/kubernetes/{overlay}\n", text)
    assert command, "docs/deploy.md does not say how to make the Secret"
    return {key: SECRETS[key] for key in re.findall(r"--from-file=([\w-]+)", command[1])}


def taken(name: str, documents: list[Document], folder: Path) -> Overlay:
    """Take an overlay apart; raises KeyError where a volume names what is not there, and ConfigError."""
    (deployment,) = of_kind("Deployment", documents)
    pod = pod_of(deployment)
    (ours,) = (container for container in containers(pod) if container["name"] == "mxcheck")
    sources = {document["metadata"]["name"]: document["data"] for document in of_kind("ConfigMap", documents)}
    files = mounted_files(pod, ours, sources | {"mxcheck": secret_in_the_manual(name)})
    environment = {variable["name"]: variable["value"] for variable in ours["env"]}
    return Overlay(documents, deployment, pod, ours, files, settings(ours["args"], environment, files, folder))


@pytest.fixture(params=["standalone", "sidecar"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def overlay(name: str, tmp_path: Path) -> Overlay:
    return taken(name, render(name, kubectls()[0]), tmp_path)


def test_every_kubectl_renders_the_same(name: str) -> None:
    """Their hashes of a ConfigMap's text differ, which is nothing to an operator who stays with one of them."""

    def comparable(kubectl: str) -> list[str]:
        text = [yaml.safe_dump(document, sort_keys=True) for document in render(name, kubectl)]
        return sorted(re.sub(r"(name: mxcheck-\w+)-[a-z0-9]{10}$", r"\1", one, flags=re.MULTILINE) for one in text)

    first, *others = map(comparable, kubectls())
    assert all(other == first for other in others)


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_every_document_is_what_kubernetes_takes(name: str, version: str) -> None:
    documents = render(name, kubectls()[0])
    assert len(documents) >= 5
    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)


def test_a_typing_error_would_be_found() -> None:
    (deployment,) = of_kind("Deployment", render("standalone", kubectls()[0]))
    broken: Any = copy.deepcopy(deployment)
    pod_of(broken)["containers"][0]["livenessProb"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="livenessProb"):
        kubernetes_validate.validate(broken, OLDEST, strict=True)


class TestSettings:
    def test_they_are_those_of_the_files_and_of_the_secret(self, name: str, overlay: Overlay) -> None:
        used = overlay.settings
        assert used.cache.url == REDIS_URL
        assert used.server.host == "0.0.0.0"
        assert used.server.log_format == "json"
        assert used.preset == "recommended"
        assert used.server.admin_token
        assert used.server.admin_token.get_secret_value() == "two"
        # Beside rspamd nobody else is to come in; a shared service asks who it is.
        token = used.server.auth_token
        assert (token and token.get_secret_value()) == ("one" if name == "standalone" else None)

    def test_a_key_that_the_secret_lacks_keeps_the_pod_waiting(self, overlay: Overlay) -> None:
        sources = {
            document["metadata"]["name"]: document["data"] for document in of_kind("ConfigMap", overlay.documents)
        }
        with pytest.raises(KeyError, match="redis-url"):
            mounted_files(overlay.pod, overlay.ours, sources | {"mxcheck": {"auth-token": "x", "admin-token": "x"}})

    def test_a_file_that_no_volume_brings_is_a_problem(self, overlay: Overlay, tmp_path: Path) -> None:
        environment = {"MXCHECK_CACHE__URL_FILE": "/run/secrets/mxcheck/redis-uri"}
        with pytest.raises(ConfigError, match="redis-uri"):
            settings(overlay.ours["args"], environment, overlay.files, tmp_path)

    def test_no_secret_is_in_a_config_map(self, overlay: Overlay) -> None:
        for document in of_kind("ConfigMap", overlay.documents):
            assert not re.search(r"^\s*(auth_token|admin_token|url: rediss?:)", str(document["data"]), re.MULTILINE)


class TestWhatLeadsWhere:
    def test_selectors_choose_the_pods(self, overlay: Overlay) -> None:
        labels = overlay.deployment["spec"]["template"]["metadata"]["labels"].items()
        selectors = [overlay.deployment["spec"]["selector"]["matchLabels"]]
        selectors += [spread["labelSelector"]["matchLabels"] for spread in overlay.pod["topologySpreadConstraints"]]
        selectors += [one["spec"]["selector"] for one in of_kind("Service", overlay.documents)]
        selectors += [
            one["spec"]["selector"]["matchLabels"] for one in of_kind("PodDisruptionBudget", overlay.documents)
        ]
        selectors += [one["spec"]["podSelector"]["matchLabels"] for one in of_kind("NetworkPolicy", overlay.documents)]
        assert len(selectors) == 6
        for selector in selectors:
            assert selector
            assert selector.items() <= labels

    def test_ports_are_those_that_are_served(self, overlay: Overlay) -> None:
        served = {port["name"]: port["containerPort"] for one in containers(overlay.pod) for port in one["ports"]}
        assert [port["containerPort"] for port in overlay.ours["ports"]] == [overlay.settings.server.port]
        for service in of_kind("Service", overlay.documents):
            for port in service["spec"]["ports"]:
                assert served[port["targetPort"]] == port["port"]

    def test_the_autoscaler_scales_the_deployment(self, name: str, overlay: Overlay) -> None:
        autoscalers = of_kind("HorizontalPodAutoscaler", overlay.documents)
        assert len(autoscalers) == (name == "standalone")
        for scaler in autoscalers:
            target = scaler["spec"]["scaleTargetRef"]
            assert (target["kind"], target["name"]) == ("Deployment", overlay.deployment["metadata"]["name"])
            # Applied anew, a number of its own would undo what the autoscaler did.
            assert "replicas" not in overlay.deployment["spec"]
            assert scaler["spec"]["minReplicas"] >= 2

    def test_the_image_is_of_this_version(self, overlay: Overlay) -> None:
        assert overlay.ours["image"] == f"mxcheck-service:{__version__}"

    def test_nothing_else_gets_through(self, name: str, overlay: Overlay) -> None:
        (policy,) = of_kind("NetworkPolicy", overlay.documents)
        assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        redis = urlsplit(overlay.settings.cache.url).port
        needed = {("UDP", DNS_PORT), ("TCP", DNS_PORT), ("TCP", overlay.settings.mx_check.port), ("TCP", redis)}
        rspamds_own = {("TCP", 443)} if name == "sidecar" else set()
        out = policy["spec"]["egress"]
        assert all(rule["ports"] for rule in out)
        assert {(port["protocol"], port["port"]) for rule in out for port in rule["ports"]} == needed | rspamds_own
        # Redis is one's own, mail servers and nameservers are the world's.
        assert {port["port"] for rule in out if "to" in rule for port in rule["ports"]} == {redis}
        into = [rule for rule in policy["spec"]["ingress"] if overlay.settings.server.port in ports(rule)]
        assert into
        assert all(rule["from"] and len(rule["ports"]) == 1 for rule in into)


def ports(rule: Document) -> set[int]:
    return {port["port"] for port in rule["ports"]}


class TestLife:
    def test_probes_ask_what_is_there(self, overlay: Overlay) -> None:
        probes = {kind: probe for kind, probe in overlay.ours.items() if kind.endswith("Probe")}
        assert {"startupProbe", "livenessProbe"} <= set(probes)
        for probe in probes.values():
            assert probe["httpGet"]["path"] in ENDPOINTS
            assert probe["httpGet"]["port"] == overlay.ours["ports"][0]["name"]
        # It must not die of a Redis that is away, and is not ready before it can answer.
        assert probes["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert probes["startupProbe"]["httpGet"]["path"] == "/readyz"

    async def test_probes_outlast_a_silent_redis(self, redis_server: RedisServer, overlay: Overlay) -> None:
        """With Kubernetes' default of 1 second the pod would be killed at its start, again and again."""
        cache = {"url": redis_server.url, "timeout": overlay.settings.cache.timeout}
        with redis_server.paused(), Service({"cache": cache}) as service:
            for probe in (overlay.ours[kind] for kind in overlay.ours if kind.endswith("Probe")):
                asked = time.monotonic()
                reply = await service.get(probe["httpGet"]["path"])
                seconds = time.monotonic() - asked
                assert reply.status == 200
                assert seconds < probe["timeoutSeconds"]
                if probe["httpGet"]["path"] == "/readyz":
                    assert reply.body["components"]["cache"]["status"] == "down"
                    # It may take one time limit, or none where a probe before has taken it.
                    assert overlay.settings.cache.timeout == 1 < probe["timeoutSeconds"]

    def test_it_has_the_time_to_drain(self, name: str, overlay: Overlay) -> None:
        (first,) = overlay.pod["containers"]
        needed = first["lifecycle"]["preStop"]["sleep"]["seconds"] + overlay.settings.server.drain_seconds + LAST_WORDS
        if name == "sidecar":  # which is told to end when rspamd has ended
            task_timeout = re.search(r"^local TASK_TIMEOUT = (.*)$", PLUGIN, re.MULTILINE)
            assert task_timeout
            needed += float(task_timeout[1])
        assert overlay.pod["terminationGracePeriodSeconds"] > needed

    def test_a_rollout_takes_no_pod_away_before_another_is_ready(self, overlay: Overlay) -> None:
        assert overlay.deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        (budget,) = of_kind("PodDisruptionBudget", overlay.documents)
        assert budget["spec"]["maxUnavailable"] == 1

    def test_memory_has_a_bound_and_cpu_has_none(self, overlay: Overlay) -> None:
        resources = overlay.ours["resources"]
        assert set(resources["requests"]) == {"cpu", "memory"}
        assert set(resources["limits"]) == {"memory"}


class TestSecurity:
    def test_namespaces_that_are_restricted_take_it(self, overlay: Overlay) -> None:
        assert unrestricted(overlay.pod) == []

    @pytest.mark.parametrize(
        "loosen",
        [
            lambda pod: pod["securityContext"].pop("seccompProfile"),
            lambda pod: pod["securityContext"].pop("runAsNonRoot"),
            lambda pod: pod["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
            lambda pod: pod["containers"][0]["securityContext"].pop("capabilities"),
            lambda pod: pod["containers"][0]["securityContext"].update(runAsUser=0),
            lambda pod: pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
            lambda pod: pod.update(hostNetwork=True),
        ],
    )
    def test_what_is_left_out_would_be_noticed(self, overlay: Overlay, loosen: Callable[[Any], object]) -> None:
        pod = copy.deepcopy(overlay.pod)
        loosen(pod)
        assert unrestricted(pod)

    def test_containers_write_nowhere_but_to_volumes(self, overlay: Overlay) -> None:
        for container in containers(overlay.pod):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert overlay.pod["automountServiceAccountToken"] is False
        assert all(mount["readOnly"] for mount in overlay.ours["volumeMounts"])

    def test_the_user_can_read_the_secret_and_others_cannot(self, overlay: Overlay) -> None:
        (secret,) = (volume["secret"] for volume in overlay.pod["volumes"] if "secret" in volume)
        assert secret["defaultMode"] == 0o440
        group = overlay.ours["securityContext"].get("runAsGroup", overlay.pod["securityContext"].get("runAsGroup"))
        assert overlay.pod["securityContext"]["fsGroup"] == group


class TestSidecar:
    @pytest.fixture
    def name(self) -> str:
        return "sidecar"

    def test_it_is_there_before_rspamd_and_after_it(self, overlay: Overlay) -> None:
        assert overlay.pod["initContainers"] == [overlay.ours]
        assert overlay.ours["restartPolicy"] == "Always"
        # Ready or not, rspamd takes mail.
        assert "readinessProbe" not in overlay.ours

    def test_rspamd_has_the_plugin_and_asks_this_port(self, overlay: Overlay) -> None:
        sources = {
            document["metadata"]["name"]: document["data"] for document in of_kind("ConfigMap", overlay.documents)
        }
        files = mounted_files(overlay.pod, overlay.pod["containers"][0], sources)
        assert files == {
            "/etc/rspamd/plugins.d/mxcheck.lua": PLUGIN,
            "/etc/rspamd/rspamd.conf.local": (ROOT / "rspamd" / "rspamd.conf.local").read_text(),
            "/etc/rspamd/local.d/mxcheck.conf": (ROOT / "rspamd" / "mxcheck.conf").read_text(),
        }
        url = f'url = "http://127.0.0.1:{overlay.settings.server.port}"'
        assert url in files["/etc/rspamd/local.d/mxcheck.conf"]


class TestMonitoring:
    """kubernetes-validate has no schemas of the Prometheus operator, so these two are held to what they must say."""

    @pytest.mark.parametrize(
        ("file", "kind", "endpoints", "overlay_name"),
        [
            ("servicemonitor", "ServiceMonitor", "endpoints", "standalone"),
            ("podmonitor", "PodMonitor", "podMetricsEndpoints", "sidecar"),
        ],
    )
    def test_they_find_the_metrics(
        self, file: str, kind: str, endpoints: str, overlay_name: str, tmp_path: Path
    ) -> None:
        overlay = taken(overlay_name, render(overlay_name, kubectls()[0]), tmp_path)
        monitor = yaml.safe_load((DEPLOY / "kubernetes" / "monitoring" / f"{file}.yaml").read_text())
        assert (monitor["apiVersion"], monitor["kind"]) == ("monitoring.coreos.com/v1", kind)
        spec = monitor["spec"]
        assert set(spec) <= {"jobLabel", "selector", endpoints}
        if kind == "ServiceMonitor":
            (service,) = of_kind("Service", overlay.documents)
            labels, names = service["metadata"]["labels"], [port["name"] for port in service["spec"]["ports"]]
            job = labels[spec["jobLabel"]]
        else:
            labels = overlay.deployment["spec"]["template"]["metadata"]["labels"]
            names = [port["name"] for port in overlay.ours["ports"]]
            (relabeling,) = spec[endpoints][0]["relabelings"]
            assert relabeling["targetLabel"] == "job"
            job = relabeling["replacement"]
        assert spec["selector"]["matchLabels"].items() <= labels.items()
        (endpoint,) = spec[endpoints]
        assert set(endpoint) <= {"port", "path", "interval", "relabelings"}
        assert endpoint["port"] in names
        assert endpoint["path"] in ENDPOINTS
        assert f'job="{job}"' in (DEPLOY / "prometheus" / "alerts.yaml").read_text()
