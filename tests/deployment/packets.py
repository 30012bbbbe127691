"""Network policies as packets: pods are addresses of one network namespace, and nftables decides as a cluster would.

A packet leaves a pod by the hook ``output``, where the egress rules of its sender stand, and arrives by ``input``,
where the ingress rules of its receiver do. Both must let it through; a pod that no policy selects is open there.
"""

import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from tests.deployment.rendered import ROOT, Object, matches

Flow = tuple[str, str, str, int]
"""Sender's and receiver's address, protocol (``TCP`` or ``UDP``) and port."""


@dataclass(frozen=True)
class Pod:
    """A pod, or with neither namespace nor labels a host outside of the cluster."""

    name: str
    addresses: tuple[str, ...]
    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict)

    def address(self, version: int) -> str | None:
        """Its address of IPv4 or IPv6."""
        return next((each for each in self.addresses if ipaddress.ip_address(each).version == version), None)


def ruleset(policies: Iterable[Object], pods: list[Pod]) -> str:
    """The policies as a script for ``nft``."""
    chains = []
    for direction, hook, near, far in (("Egress", "output", "saddr", "daddr"), ("Ingress", "input", "daddr", "saddr")):
        base = [f"type filter hook {hook} priority 0", "ct state established,related accept"]
        for number, pod in enumerate(pods):
            chosen = [each for each in policies if direction in each["spec"]["policyTypes"] and selects(each, pod)]
            if not chosen:
                continue
            chain = f"{hook}-{number}"
            base += [f"{family(each)} {near} {each} goto {chain}" for each in pod.addresses]
            lines = [line for policy in chosen for line in accepted(policy, direction, far, pods)]
            chains.append((chain, [*lines, "meta l4proto tcp reject with tcp reset", "reject"]))
        chains.append((hook, base))
    return "table inet policies {\n" + "".join(f"chain {name} {{ {'; '.join(c)}; }}\n" for name, c in chains) + "}\n"


def selects(policy: Object, pod: Pod) -> bool:
    """Whether a policy is about a pod."""
    return policy["metadata"]["namespace"] == pod.namespace and matches(policy["spec"]["podSelector"], pod.labels)


def accepted(policy: Object, direction: str, far: str, pods: list[Pod]) -> list[str]:
    """A rule of nftables for each peer and port that a policy allows; one without peers or ports is not for us."""
    lines = []
    for rule in policy["spec"].get(direction.lower(), ()):
        ports = [f"{p['protocol'].lower()} dport {p['port']}-{p.get('endPort', p['port'])}" for p in rule["ports"]]
        for peer in rule["to" if direction == "Egress" else "from"]:
            lines += [f"{where} {port} accept" for where in places(peer, policy, far, pods) for port in ports]
    return lines


def places(peer: dict[str, Any], policy: Object, far: str, pods: list[Pod]) -> list[str]:
    """The addresses of a peer as conditions of nftables."""
    if "ipBlock" in peer:
        block = peer["ipBlock"]["cidr"]
        excepted = ", ".join(peer["ipBlock"].get("except", ()))
        condition = f"{family(block)} {far}"
        return [f"{condition} {block}" + (f" {condition} != {{ {excepted} }}" if excepted else "")]
    found = []
    for pod in pods:
        elsewhere = peer.get("namespaceSelector")
        there = (
            pod.namespace == policy["metadata"]["namespace"]
            if elsewhere is None
            else bool(pod.namespace) and matches(elsewhere, {"kubernetes.io/metadata.name": pod.namespace})
        )
        if there and matches(peer.get("podSelector", {}), pod.labels):
            found += [f"{family(each)} {far} {each}" for each in pod.addresses]
    return found


def family(address: str) -> str:
    """What nftables calls the protocol of an address or a block."""
    return "ip6" if ":" in address else "ip"


def passing(rules: str, addresses: list[str], flows: list[Flow]) -> list[Flow]:
    """The flows whose first packet arrives and, of TCP, whose connection is made. Needs root and ``nft``."""
    assert shutil.which("nft"), "nft is missing: apt install nftables"
    asked = json.dumps({"rules": rules, "addresses": addresses, "flows": flows})
    command = ["unshare", "--net", sys.executable, "-m", "tests.deployment.packets"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, input=asked, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return [flow for flow, passed in zip(flows, json.loads(done.stdout), strict=True) if passed]


def main() -> None:
    """Within the namespace: set it up as told on stdin, try each flow, and print which passed."""
    asked = json.load(sys.stdin)
    # Blocks that the kernel would send nowhere are addresses of this machine here, as all others are.
    # Without nodad an address of IPv6 can't be bound until the kernel has come round to it, a moment later.
    lines = ["link set lo up"]
    lines += [f"address add {each} dev lo{' nodad' if ':' in each else ''}" for each in asked["addresses"]]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)
    subprocess.run(["nft", "-f", "-"], input=asked["rules"], text=True, check=True)
    with ExitStack() as stack:
        listening = {}
        for protocol, port in {(protocol, port) for _, _, protocol, port in asked["flows"]}:
            listener = stack.enter_context(socket.socket(socket.AF_INET6, KINDS[protocol]))
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.bind(("::", port))
            listener.settimeout(0)
            if protocol == "TCP":
                listener.listen(4096)
            listening[protocol, port] = listener
        print(json.dumps([passes(tuple(flow), listening[flow[2], flow[3]]) for flow in asked["flows"]]))


KINDS = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}


def passes(flow: Flow, listener: socket.socket) -> bool:
    """Whether the listener gets what a socket of the sender sends."""
    sender, receiver, protocol, port = flow
    with socket.socket(socket.AF_INET6 if ":" in receiver else socket.AF_INET, KINDS[protocol]) as client:
        client.settimeout(5)
        client.bind((sender, 0))
        try:
            client.connect((receiver, port))
            if protocol == "UDP":
                client.send(b"packet")
                # Within one machine it has arrived by now, or never will.
                return bool(listener.recv(64))
            listener.accept()[0].close()
        except (ConnectionRefusedError, PermissionError, BlockingIOError):
            return False
    return True


if __name__ == "__main__":
    main()
