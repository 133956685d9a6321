"""What a cluster and a container would make of the files in deploy/.

Manifests as kubectl renders them, and the settings that the service takes from a container's volumes and environment.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from mxcheck_service import config
from mxcheck_service.settings import Settings
from tests.lab.process import missing, run

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
_BESIDE: Final = "/opt/mxcheck-lab/kubectl/usr/bin"
"""Where .ci/apt-install puts Debian's kubectl, whose kustomize is of 2019."""

Document = Mapping[str, Any]


def kubectls() -> list[str]:
    """The paths of every kubectl there is; see `missing` for when there is none."""
    found = (shutil.which("kubectl", path=path) for path in (os.environ.get("PATH", os.defpath), _BESIDE))
    return list(dict.fromkeys(path for path in found if path)) or [missing("kubectl")]


def render(overlay: str, kubectl: str) -> list[Document]:
    """The documents of deploy/kubernetes/OVERLAY as they would be applied; raises ComponentFailed."""
    return list(yaml.safe_load_all(run([kubectl, "kustomize", str(DEPLOY / "kubernetes" / overlay)], "kubectl")))


def of_kind(kind: str, documents: list[Document]) -> list[Document]:
    return [document for document in documents if document["kind"] == kind]


def pod_of(deployment: Document) -> Any:
    """The template's `spec`."""
    return deployment["spec"]["template"]["spec"]


def containers(pod: Document) -> Iterator[Any]:
    """Every container of a pod, the init containers among them."""
    yield from pod.get("initContainers", [])
    yield from pod["containers"]


def mounted_files(pod: Document, container: Document, sources: Mapping[str, Document]) -> dict[str, str]:
    """Return the text of each file that a container sees, by its path.

    `sources`: the data of ConfigMaps and Secrets by their names. Raises KeyError for what is not in them, as the
    kubelet would not start the pod.
    """
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    files = {}
    for mount in container["volumeMounts"]:
        match volumes[mount["name"]]:
            case {"configMap": {"name": name}}:
                data = dict(sources[name])
            case {"secret": {"secretName": name, "items": items}}:
                data = {item["path"]: sources[name][item["key"]] for item in items}
            case _:
                continue
        if (only := mount.get("subPath")) is not None:
            files[mount["mountPath"]] = data[only]
        else:
            files |= {f"{mount['mountPath']}/{name}": text for name, text in data.items()}
    return files


def settings(arguments: list[str], environment: Mapping[str, str], files: Mapping[str, str], folder: Path) -> Settings:
    """Return what `mxcheck ARGUMENTS` runs with in a container that has these files; they are written below `folder`.

    Raises ConfigError.
    """
    for path, text in files.items():
        place = folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    command, option, path = arguments
    assert (command, option) == ("serve", "--config")
    here = {name: f"{folder}{value}" if name.endswith("_FILE") else value for name, value in environment.items()}
    loaded = config.load(folder / path.lstrip("/"), here)
    assert loaded.warnings == ()
    return loaded.settings


def unrestricted(pod: Document) -> list[str]:
    """What keeps a pod out of a namespace that enforces the Pod Security Standard "restricted", of Kubernetes 1.34.

    https://kubernetes.io/docs/concepts/security/pod-security-standards/; Windows, AppArmor and SELinux options aside.
    """
    found = [f"pod: {key}" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    whole = pod.get("securityContext", {})
    found += ["pod: sysctls"] if whole.get("sysctls") else []
    volumes = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    found += [f"volume {volume['name']}" for volume in pod["volumes"] if not volumes & set(volume)]
    for container in containers(pod):
        name, own = container["name"], container.get("securityContext", {})
        capabilities = own.get("capabilities", {})
        wrong = {
            "privileged": own.get("privileged", False),
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is not False,
            "capabilities.drop": "ALL" not in capabilities.get("drop", ()),
            "capabilities.add": not set(capabilities.get("add", ())) <= {"NET_BIND_SERVICE"},
            "runAsNonRoot": own.get("runAsNonRoot", whole.get("runAsNonRoot")) is not True,
            "runAsUser": own.get("runAsUser", whole.get("runAsUser", 1)) == 0,
            "seccompProfile": (own.get("seccompProfile") or whole.get("seccompProfile") or {}).get("type")
            not in ("RuntimeDefault", "Localhost"),
            "procMount": own.get("procMount", "Default") != "Default",
            "hostPort": any("hostPort" in port for port in container.get("ports", ())),
            "probe.host": any("host" in handler for handler in _handlers(container)),
        }
        found += [f"{name}: {what}" for what, is_wrong in wrong.items() if is_wrong]
    return found


def _handlers(container: Document) -> Iterator[Document]:
    """The actions of probes and hooks."""
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        yield from (action for action in container.get(probe, {}).values() if isinstance(action, Mapping))
    for hook in container.get("lifecycle", {}).values():
        yield from (action for action in hook.values() if isinstance(action, Mapping))
