"""A RabbitMQ of our own: its own node name, ports, folders, cookie and epmd, whoever else runs one here."""

import base64
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pika

from tests.services import process
from tests.services.base import Service, ServiceError

_CREDENTIALS = "guest:guest"

_SBIN_FOLDERS = (
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
    "/opt/rabbitmq/sbin",
)


@dataclass(frozen=True)
class Vhost:
    """A virtual host of its own for one test."""

    name: str
    url: str


class RabbitMQ(Service):
    """One node with the management and Prometheus plugins.

    ``config`` is more lines for rabbitmq.conf (``"consumer_timeout = 5000"``); ``advanced`` is Erlang terms for keys
    of the application ``rabbit`` that have no such line (``{"channel_tick_interval": "1000"}``: how often time-outs
    of consumers are looked for, 60 s unless told).
    """

    kind = "rabbitmq"

    def __init__(self, folder: Path, *, config: Sequence[str] = (), advanced: Mapping[str, str] | None = None) -> None:
        super().__init__(folder)
        self._config = config
        # A quorum queue tells its depth once per tick, 5 s unless told: too slow for a test that waits for it.
        self._advanced = {"quorum_tick_interval": "500"} | dict(advanced or {})

    @property
    def nodename(self) -> str:
        return str(self.record["nodename"])

    @property
    def url(self) -> str:
        return self.url_of("/")

    def url_of(self, vhost: str) -> str:
        return f"amqp://{_CREDENTIALS}@127.0.0.1:{self.record['amqp']}/{quote(vhost, safe='')}"

    @property
    def prometheus_url(self) -> str:
        return f"http://127.0.0.1:{self.record['prometheus']}/metrics"

    def exports(self) -> dict[str, str]:
        # So that a node of a test's own, which that environment starts, is of the same version.
        sbin = {"RABBITMQ_SBIN": self.record["sbin"]} if "sbin" in self.record else {}
        return sbin | {
            "REFERRALS_AMQP_URL": self.url,
            "REFERRALS_RABBITMQ_METRICS_URL": self.prometheus_url.removesuffix("/metrics"),
            "RABBITMQ_NODENAME": self.nodename,
        }

    def ctl(self, *arguments: str) -> str:
        """What ``rabbitmqctl`` printed for this node; takes 0.7 s.

        Raises:
          ServiceError: it failed; the text is what it said.
        """
        command, env = self.ctl_command()
        done = subprocess.run([*command, *arguments], env=env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ServiceError(f"rabbitmqctl {' '.join(arguments)}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def ctl_command(self) -> tuple[list[str], dict[str, str]]:
        """The command line and the environment that make ``rabbitmqctl`` speak to this node."""
        return [str(self._sbin() / "rabbitmqctl"), "--quiet"], self._environment()

    def add_vhost(self) -> Vhost:
        """A new, empty virtual host; over HTTP this takes 20 ms, by ``rabbitmqctl`` 0.7 s."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.api("PUT", f"/api/vhosts/{name}")
        return Vhost(name, self.url_of(name))

    def delete_vhost(self, vhost: Vhost) -> None:
        """Remove it with its queues; its connections are closed."""
        self.api("DELETE", f"/api/vhosts/{vhost.name}")

    def depths(self, vhost: Vhost) -> dict[str, int]:
        """Messages per queue, ready and unacknowledged, about half a second old for a quorum queue: one to wait for. A
        queue that was declared just now is missing.
        """
        query = urlencode({"vhost": vhost.name, "family": "queue_coarse_metrics"})
        text = self._get(self.record["prometheus"], f"/metrics/detailed?{query}").decode()
        lines = (line for line in text.splitlines() if line.startswith("rabbitmq_detailed_queue_messages{"))
        return {line.split('queue="')[1].split('"')[0]: int(line.rsplit(" ", 1)[1]) for line in lines}

    def ready(self, vhost: Vhost, queue: str) -> int | None:
        """How many messages of a queue are ready at the moment; None where there is no such queue."""
        connection = pika.BlockingConnection(pika.URLParameters(vhost.url))
        try:
            return int(connection.channel().queue_declare(queue, passive=True).method.message_count)
        except pika.exceptions.ChannelClosedByBroker as refusal:
            if refusal.reply_code == 404:
                return None
            raise
        finally:
            connection.close()

    def registered(self, vhost: Vhost, queue: str) -> bool:
        """Whether a quorum queue would survive ``kill``, by the register of quorum queues on disk."""
        name = f"{vhost.name}_{queue}".encode()
        return any(name in path.read_bytes() for path in (self.folder / "data").rglob("names.dets"))

    def api(self, method: str, path: str, body: object = None) -> Any:
        """The decoded answer of the management API, None where it has no body. Blocks for 30 s at most.

        Raises:
          ServiceError: it answered with an error.
        """
        answer = self._request(self.record["management"], method, path, json.dumps(body) if body else None)
        return json.loads(answer) if answer else None

    def logged(self) -> str:
        """What the node has logged so far."""
        return "".join(path.read_text(errors="replace") for path in (self.folder / "log").glob("*.log"))

    def running(self) -> bool:
        return process.find(self._pid_file) is not None

    @property
    def pid(self) -> int:
        """The running node's process."""
        found = process.find(self._pid_file)
        assert found is not None, "it was started"
        return found.pid

    def kill(self) -> None:
        """SIGKILL, as a crash; ``start`` brings the node back with what it had on disk.

        RabbitMQ 3.10 registers a new quorum queue on disk up to half a second late: one declared just before comes
        back without its messages, confirmed or not. See ``registered``.
        """
        process.end(self._pid_file, signal.SIGKILL, 10)

    def restart(self) -> None:
        """Stop in good order (8 s with the management plugin) and start again with the same data."""
        process.end(self._pid_file, signal.SIGTERM, 40)
        self.start()

    def stop(self) -> None:
        # No good order: it takes 8 s and the data is not kept.
        self.kill()
        process.end(self._epmd_pid_file, signal.SIGTERM, 10)

    @property
    def _pid_file(self) -> Path:
        return self.folder / "rabbitmq.pid"

    @property
    def _epmd_pid_file(self) -> Path:
        return self.folder / "epmd.pid"

    def _settle(self) -> dict[str, Any]:
        names = ("amqp", "distribution", "epmd", "management", "prometheus")
        ports = dict(zip(names, process.free_ports(len(names)), strict=True))
        config = [
            "management.tcp.ip = 127.0.0.1",
            f"management.tcp.port = {ports['management']}",
            "prometheus.tcp.ip = 127.0.0.1",
            f"prometheus.tcp.port = {ports['prometheus']}",
        ]
        self._write_configuration(config)
        home = self.folder / "home"
        home.mkdir()
        cookie = home / ".erlang.cookie"
        cookie.write_text(uuid.uuid4().hex)
        cookie.chmod(0o400)
        # Kept, so that whoever finds the node later starts and asks it with the commands of its own version.
        return {"nodename": f"rd-{uuid.uuid4().hex[:10]}@localhost", "sbin": str(self._installed()), **ports}

    def _write_configuration(self, config: Sequence[str]) -> None:
        lines = [*config, "raft.wal_max_size_bytes = 67108864", *self._config]
        (self.folder / "rabbitmq.conf").write_text("".join(f"{line}\n" for line in lines))
        terms = ", ".join(f"{{{key}, {value}}}" for key, value in self._advanced.items())
        (self.folder / "advanced.config").write_text(f"[{{rabbit, [{terms}]}}].\n")
        (self.folder / "enabled_plugins").write_text("[rabbitmq_management, rabbitmq_prometheus].\n")

    def _spawn(self) -> None:
        env = self._environment()
        if not process.find(self._epmd_pid_file):
            own = self._sbin() / "epmd"
            epmd = str(own) if own.exists() else shutil.which("epmd")
            if not epmd:
                raise ServiceError("epmd is missing: install Erlang (apt install erlang-base)")
            command = [epmd, "-port", str(self.record["epmd"]), "-address", "127.0.0.1"]
            process.spawn(command, pid_file=self._epmd_pid_file, log=self.log, env=env)
        if not self.running():
            command = [str(self._sbin() / "rabbitmq-server")]
            process.spawn(command, pid_file=self._pid_file, log=self.log, env=env)

    def _environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("RABBITMQ_", "ERL_"))}
        return inherited | {
            "HOME": str(self.folder / "home"),
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_PORT": str(self.record["epmd"]),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP": str(self.folder / "erl_crash.dump"),
            "RABBITMQ_NODENAME": self.nodename,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.record["amqp"]),
            "RABBITMQ_DIST_PORT": str(self.record["distribution"]),
            "RABBITMQ_BASE": str(self.folder),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(self.folder / "conf.d"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            # The script then replaces itself with the Erlang VM, whose pid is the one that was started.
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_SERVER_START_ARGS": "-noinput",
            # Two schedulers, which sleep at once instead of spinning first: a quarter less CPU between messages.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none "
            "-kernel inet_dist_use_interface {127,0,0,1}",
            # Any port: the usual range of eleven is shared with every other broker here.
            "RABBITMQ_CTL_DIST_PORT_MIN": "0",
            "RABBITMQ_CTL_DIST_PORT_MAX": "0",
        }

    def _sbin(self) -> Path:
        return Path(self.record["sbin"])

    def _installed(self) -> Path:
        # Not the wrappers of /usr/sbin, which insist on the user rabbitmq.
        found = find_sbin()
        if not found:
            raise ServiceError("rabbitmq-server is missing: apt install rabbitmq-server, or start Docker's engine")
        return found

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.record["amqp"]), timeout=1) as client:
                client.sendall(b"AMQP\x00\x00\x09\x01")
                client.settimeout(1)
                if client.recv(1) != b"\x01":
                    return False
            self._get(self.record["prometheus"], "/metrics")
            self.api("GET", "/api/vhosts")
        except (OSError, http.client.HTTPException, ServiceError):
            return False
        return True

    def _get(self, port: int, path: str) -> bytes:
        return self._request(port, "GET", path, None)

    def _request(self, port: int, method: str, path: str, body: str | None) -> bytes:
        login = base64.b64encode(_CREDENTIALS.encode()).decode()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise ServiceError(f"{method} {path}: {answer.status} {content.decode(errors='replace')}")
        return content


def find_sbin() -> Path | None:
    """The folder with ``rabbitmq-server`` and ``rabbitmqctl``: ``$RABBITMQ_SBIN``, or where packages put it."""
    if chosen := os.environ.get("RABBITMQ_SBIN"):
        return Path(chosen)
    for pattern in _SBIN_FOLDERS:
        for folder in sorted(Path("/").glob(pattern.lstrip("/")), reverse=True):
            if (folder / "rabbitmq-server").exists():
                return folder
    return None
