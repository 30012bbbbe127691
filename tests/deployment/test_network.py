"""Who may connect to whom: the overlays' network policies, tried with packets in a network namespace."""

import ipaddress
import os
from collections import defaultdict
from collections.abc import Iterator

import pytest

from tests.deployment.packets import Flow, Pod, passing, ruleset
from tests.deployment.rendered import OVERLAYS, of_kind, overlay, workloads

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make namespaces everywhere")

NAME, COMPONENT = "app.kubernetes.io/name", "app.kubernetes.io/component"

ELSEWHERE = [
    ("dns", "kube-system", {"k8s-app": "kube-dns"}),
    ("prometheus", "monitoring", {NAME: "prometheus"}),
    ("operator", "rabbitmq-system", {COMPONENT: "rabbitmq-operator"}),
    # Of other people, who give their pods the labels of ours and of whom ours trust.
    ("stranger worker", "elsewhere", {NAME: "referral-dispatch", COMPONENT: "worker"}),
    ("stranger broker", "elsewhere", {NAME: "rabbitmq", COMPONENT: "rabbitmq"}),
    ("stranger store", "elsewhere", {NAME: "valkey", COMPONENT: "server"}),
    ("stranger dns", "elsewhere", {"k8s-app": "kube-dns"}),
    ("stranger prometheus", "elsewhere", {NAME: "prometheus"}),
    ("stranger operator", "elsewhere", {COMPONENT: "rabbitmq-operator"}),
]
"""Pods of other namespaces, as (name, namespace, labels)."""

BROKER = {NAME: "rabbitmq", COMPONENT: "rabbitmq", "app.kubernetes.io/part-of": "rabbitmq"}
"""What RabbitMQ's operator gives its pods."""

OUTSIDE = ("8.8.8.8", "2606:4700::1111", "64:ff9b::808:808")
"""Hosts of the internet, the last as pods without IPv4 reach it."""

INSIDE = ("10.96.0.1", "192.168.1.1", "169.254.169.254", "fd00:ec2::254", "64:ff9b::a9fe:a9fe")
"""The Kubernetes API's usual address, a router, and where clouds hand out the node's credentials."""

DNS = {"53/TCP", "53/UDP"}

CALLS = {address: {"443/TCP"} for address in OUTSIDE}

METRICS = {"referral-worker": {"9191/TCP"}, "rabbitmq": {"15692/TCP"}}

AMQP = {"5671/TCP", "5672/TCP"}

STORE = {"6379/TCP"}

ALLOWED: dict[str, dict[str, dict[str, set[str]]]] = {
    "dev": {
        "referral-worker": {
            "dns": DNS,
            "rabbitmq": {"5672/TCP"},
            "valkey": STORE,
            "sandbox": {"8085/TCP"},
            **CALLS,
        },
        "referral-publish-spring": {"dns": DNS, "rabbitmq": {"5672/TCP"}, "valkey": STORE},
        "referral-collect": {"dns": DNS, "rabbitmq": {"5672/TCP"}},
        "sandbox": {"dns": DNS},
        "prometheus": METRICS,
    },
    "production": {
        "referral-worker": {"dns": DNS, "rabbitmq": AMQP, "valkey": STORE, **CALLS},
        "referral-publish-spring": {"dns": DNS, "rabbitmq": AMQP, "valkey": STORE},
        "referral-collect": {"dns": DNS, "rabbitmq": AMQP},
        "prometheus": {"referral-worker": METRICS["referral-worker"]},
    },
    "ha": {
        "referral-worker": {"dns": DNS, "rabbitmq": AMQP, "valkey-proxy": STORE, **CALLS},
        "referral-publish-spring": {"dns": DNS, "rabbitmq": AMQP, "valkey-proxy": STORE},
        "referral-collect": {"dns": DNS, "rabbitmq": AMQP},
        "valkey-proxy": {"dns": DNS, "valkey": STORE},
        "valkey": {"dns": DNS, "valkey": STORE | {"26379/TCP"}},
        "rabbitmq": {"rabbitmq": {"4369/TCP", "25672/TCP", "35672/TCP"}},
        "prometheus": METRICS,
        "operator": {"rabbitmq": {"15672/TCP"}},
    },
}
"""Of each overlay, who may connect to whom, and by which ports; to nobody else, and by no other."""

OPEN = {"dev": {"rabbitmq", "valkey"}, "production": {"rabbitmq", "valkey"}, "ha": {"rabbitmq"}}
"""Who may connect to whoever lets it in: brokers and stores that no policy keeps from it, or that are not of ours."""


def world(name: str) -> list[Pod]:
    """Two pods of each of the overlay's workloads, others of its namespace and elsewhere, and hosts outside."""
    objects = overlay(name)
    (namespace,) = of_kind(objects, "Namespace")
    own = namespace["metadata"]["name"]
    pods = [(workload, own, labels) for workload, _, labels in workloads(objects) for _ in range(2)]
    if name != "dev":
        pods += [("rabbitmq", own, BROKER)] * 2
    if name == "production":
        pods.append(("valkey", own, {NAME: "valkey"}))
    pods += [("neighbour", own, {NAME: "neighbour"}), *ELSEWHERE]
    inside = [
        Pod(pod, (f"10.244.0.{number}", f"fd00:10:244::{number:x}"), where, labels)
        for number, (pod, where, labels) in enumerate(pods, 1)
    ]
    return inside + [Pod(address, (address,)) for address in (*OUTSIDE, *INSIDE)]


def flows(pods: list[Pod], ports: list[tuple[str, int]]) -> Iterator[tuple[Pod, Pod, Flow]]:
    """From each to each other, by each port."""
    for sender in pods:
        for receiver in pods:
            there = receiver.addresses[0]
            here = sender.address(ipaddress.ip_address(there).version)
            if sender is not receiver and here and (sender.namespace or receiver.namespace):
                yield from ((sender, receiver, (here, there, protocol, port)) for protocol, port in ports)


@pytest.mark.parametrize("name", OVERLAYS)
def test_packets_pass_where_they_should_and_nowhere_else(name: str) -> None:
    """Every pair of pods and hosts, by every port that a policy names and some that none does."""
    namespace = of_kind(overlay(name), "Namespace")[0]["metadata"]["name"]
    policies = of_kind(overlay(name), "NetworkPolicy")
    named = {
        (port["protocol"], port["port"])
        for policy in policies
        for rule in (*policy["spec"].get("egress", ()), *policy["spec"].get("ingress", ()))
        for port in rule["ports"]
    }
    pods = world(name)
    ports = sorted(named | {("TCP", 22), ("TCP", 80), ("UDP", 443), ("TCP", 15672), ("TCP", 15692), ("TCP", 26379)})
    guarded = {workload for workload, _, _ in workloads(overlay(name))} | ({"rabbitmq"} if name == "ha" else set())
    tried = {
        flow: (sender.name, receiver.name)
        for sender, receiver, flow in flows(pods, ports)
        if (sender.namespace == namespace and sender.name in guarded - OPEN[name])
        or (receiver.namespace == namespace and receiver.name in guarded)
    }
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    every = [address for pod in pods for address in pod.addresses]
    for flow in passing(ruleset(policies, pods), every, list(tried)):
        sender_name, receiver_name = tried[flow]
        found[sender_name][receiver_name].add(f"{flow[3]}/{flow[2]}")
    assert found == ALLOWED[name]


def test_without_policies_every_packet_passes() -> None:
    """What is refused above is refused by the rules alone."""
    pods = world("dev")
    tried = [flow for _, _, flow in flows(pods, [("TCP", 443), ("UDP", 53)])]
    assert passing(ruleset([], pods), [address for pod in pods for address in pod.addresses], tried) == tried
