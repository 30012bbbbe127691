"""Manifests as a cluster would get them, and what refers to what in them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]

OVERLAYS = ("dev", "production", "ha")

Object = dict[str, Any]


@cache
def render(folder: str) -> list[Object]:
    """What `kubectl kustomize` makes of a folder of k8s/; made once, so not to be changed."""
    return kustomize(ROOT / "k8s" / folder)


def render_on(base: str, folder: Path, kustomization: str) -> list[Object]:
    """What it makes of a folder of k8s/ below a kustomization of a reader's, written to ``folder``."""
    below = os.path.relpath(ROOT / "k8s" / base, folder.resolve())
    (folder / "kustomization.yaml").write_text(f"resources: [{below}]\n{kustomization}")
    return kustomize(folder)


def kustomize(folder: Path) -> list[Object]:
    """What `kubectl kustomize` makes of a folder."""
    command = [str(Path(sys.executable).parent / "kubectl"), "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # Kustomize says there what is deprecated.
    assert done.stderr == ""
    return list(yaml.load_all(done.stdout, yaml.CSafeLoader))


def overlay(name: str) -> list[Object]:
    """An overlay, with the Job that publishes to it."""
    return render(f"overlays/{name}") + render("publish")


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    """Those of these kinds."""
    return [each for each in objects if each["kind"] in kinds]


def is_custom(resource: Object) -> bool:
    """Whether its kind is an operator's, whose schema is not Kubernetes' own."""
    group = resource["apiVersion"].rpartition("/")[0]
    return "." in group and not group.endswith(".k8s.io")


def workloads(objects: list[Object]) -> Iterator[tuple[str, Object, dict[str, str]]]:
    """Name, pod's spec and pod's labels of everything that makes pods."""
    for each in of_kind(objects, "Deployment", "StatefulSet", "Job"):
        template = each["spec"]["template"]
        yield each["metadata"]["name"], template["spec"], template["metadata"].get("labels", {})


def containers(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Workload's name and container."""
    for name, pod, _ in workloads(objects):
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            yield name, container


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector takes an object with these labels; an empty one takes all."""
    wanted = selector.get("matchLabels", {})
    terms = selector.get("matchExpressions", [])
    assert {term["operator"] for term in terms} <= {"In"}
    return wanted.items() <= labels.items() and all(labels.get(term["key"]) in term["values"] for term in terms)


def references(node: object) -> Iterator[tuple[str, str, str | None]]:
    """Kind, name and key of each ConfigMap and Secret that a pod's spec asks for; no key where it takes all."""
    if isinstance(node, list):
        for each in node:
            yield from references(each)
    if not isinstance(node, dict):
        return
    for field, value in node.items():
        if field in {"configMapKeyRef", "secretKeyRef"}:
            yield field.removesuffix("KeyRef"), value["name"], value["key"]
        elif field in {"configMapRef", "secretRef"}:
            yield field.removesuffix("Ref"), value["name"], None
        elif field in {"configMap", "secret"} and isinstance(value, dict):
            name = value.get("name") or value["secretName"]
            items = [item["key"] for item in value.get("items", [])]
            yield from ((field, name, key) for key in items or [None])
        else:
            yield from references(value)


def keys(objects: list[Object], kind: str, name: str) -> set[str] | None:
    """The keys of a ConfigMap or Secret, None where there is none of that name."""
    wanted = {"configMap": "ConfigMap", "secret": "Secret"}[kind]
    for each in of_kind(objects, wanted):
        if each["metadata"]["name"] == name:
            return {*each.get("data", {}), *each.get("stringData", {}), *each.get("binaryData", {})}
    return None
