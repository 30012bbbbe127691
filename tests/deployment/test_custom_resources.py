"""Objects of operators' kinds against the operators' own schemas."""

import copy
from typing import Any

import kubernetes_validate
import pytest

from tests.deployment.custom_resources import faults
from tests.deployment.rendered import OVERLAYS, Object, is_custom, of_kind, render

overlays = pytest.mark.parametrize("name", OVERLAYS)


def custom(name: str) -> list[Object]:
    """An overlay's objects of operators' kinds."""
    found = [each for each in render(f"overlays/{name}") if is_custom(each)]
    assert found or name == "dev", "dev needs no operator"
    return found


@overlays
def test_every_object_fits_its_operator_s_schema(name: str) -> None:
    """Each is valid, and has no field that the cluster would drop without a word."""
    for each in custom(name):
        assert faults(each) == [], (each["kind"], each["metadata"]["name"])
        # The metadata, by any core kind that has nothing else.
        core = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": each["metadata"]}
        kubernetes_validate.validate(core, kubernetes_validate.latest_version(), strict=True)


@overlays
def test_an_unknown_field_is_a_fault_at_any_depth(name: str) -> None:
    """A misspelt name next to any known one is found, wherever the operator doesn't leave the names to us."""
    for each in custom(name):
        broken = copy.deepcopy(each)
        for node in objects_of(broken["spec"]):
            node["misspelt"] = 1
            assert faults(broken), node
            del node["misspelt"]


def objects_of(node: Any) -> list[dict[str, Any]]:
    """The objects in a spec that have names of their operator's, and none that are ours such as labels."""
    if isinstance(node, list):
        return [found for each in node for found in objects_of(each)]
    if not isinstance(node, dict):
        return []
    inner = [objects_of(each) for name, each in node.items() if name not in OPEN]
    return [node, *(found for each in inner for found in each)]


OPEN = {"annotations", "definition", "labels", "matchLabels", "metadata", "params", "limits", "requests"}
"""Fields whose keys are free: a policy's definition, labels, a trigger's metadata, resources."""


def test_a_value_of_a_wrong_type_is_a_fault() -> None:
    """A number that is written as a text is found, and one that the schema does not list."""
    (scaled,) = of_kind(render("overlays/production"), "ScaledObject")
    broken = copy.deepcopy(scaled)
    broken["spec"]["maxReplicaCount"] = "20"
    broken["spec"]["triggers"][0]["metricType"] = 7
    assert len(faults(broken)) == 2
