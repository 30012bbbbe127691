"""The objects of RabbitMQ's operators in the overlay ``ha``: what no schema sees."""

import re
from typing import Any

from tests.deployment.rendered import ROOT, of_kind, render
from tests.integration.rabbitmq.roles import documented
from worker.rabbitmq.policies import describe_losses
from worker.rabbitmq.topology import DEAD, LANE_PREFIXES, RESULTS, Queue, queues, shop_queue, shop_queue_declaration

README = (ROOT / "k8s" / "README.md").read_text(encoding="utf-8")

OBJECTS = render("overlays/ha")


def specs(kind: str) -> dict[str, dict[str, Any]]:
    """The specs of a kind's objects, by their names."""
    return {each["metadata"]["name"]: each["spec"] for each in of_kind(OBJECTS, kind)}


def test_permissions_are_the_documented_ones() -> None:
    """Each user has those of its role, and the README says how its Secret comes to be, with the operator's label."""
    users, permissions = specs("User"), specs("Permission")
    assert users.keys() == permissions.keys()
    (labelled,) = re.findall(r"kubectl label secret (?: \\\n|.)*", README)
    for name, spec in permissions.items():
        assert spec["permissions"] == documented(name.removeprefix("referral-"))
        assert spec["userReference"] == {"name": name}
        secret = users[name]["importCredentialsSecret"]["name"]
        assert f"create secret generic {secret} " in README
        assert secret in labelled.split()
        assert f"`{name}`" in README or f"username={name}" in README
    assert "rabbitmq.com/topology-operator=true" in labelled


def test_all_is_in_one_virtual_host_of_one_cluster() -> None:
    """What refers to a cluster or a virtual host names the overlay's own; RabbitMQ's default is another."""
    (cluster,) = specs("RabbitmqCluster")
    (vhost,) = (spec["name"] for spec in specs("Vhost").values())
    for kind in ("Vhost", "User", "Permission", "Policy"):
        for name, spec in specs(kind).items():
            assert spec["rabbitmqClusterReference"] == {"name": cluster}, name
            assert kind in {"Vhost", "User"} or spec["vhost"] == vhost, name
    for url in re.findall(r"amqps?://\S+", README):
        assert re.search(rf"@{cluster}:\d+/{vhost}(\?|$)", url), url


def test_policies_take_nothing_out_of_our_queues() -> None:
    """By the worker's own judgement, and each has an effect; what ends as dead is kept whatever its size."""
    lanes = [shop_queue_declaration("acme", lane) for lane in LANE_PREFIXES if lane != "bulk"]
    declared = [*queues(["acme"]), *lanes]
    bounded = {queue.name: policy for queue in declared for policy in policies_of(queue)}
    assert set(bounded) == {shop_queue("acme"), shop_queue("acme", "urgent"), RESULTS}
    assert DEAD not in bounded
    told = [
        {
            "name": queue.name,
            "arguments": queue.arguments,
            "policy": "p",
            "effective_policy_definition": bounded[queue.name],
        }
        for queue in declared
        if queue.name in bounded
    ]
    assert describe_losses(told) == []


def policies_of(queue: Queue) -> list[dict[str, Any]]:
    """The definitions of the policies that RabbitMQ would apply to a queue; it takes one at a time."""
    found = [spec["definition"] for spec in specs("Policy").values() if re.search(spec["pattern"], queue.name)]
    assert len(found) <= 1
    return found


def test_the_operator_s_pods_are_who_policies_and_budgets_mean() -> None:
    """The operator names its pods after the cluster."""
    (cluster,) = specs("RabbitmqCluster")
    for kind, field in (("NetworkPolicy", "podSelector"), ("PodDisruptionBudget", "selector")):
        assert specs(kind)["rabbitmq"][field]["matchLabels"]["app.kubernetes.io/name"] == cluster
