"""RabbitMQ in a Docker container, for machines that have Docker's engine and no RabbitMQ."""

import os
import shutil
import subprocess
import uuid
from typing import Any

from tests.services import process
from tests.services.base import ServiceError
from tests.services.rabbitmq import RabbitMQ

_IMAGE = "rabbitmq:3.13"

_INNER_PORTS = {"amqp": 5672, "management": 15672, "prometheus": 15692}


class RabbitMQContainer(RabbitMQ):
    """The same node in a container; its data is in a volume, so that it survives ``restart`` and ``kill``."""

    kind = "rabbitmq-container"

    start_seconds = 300.0
    """The image may have to be pulled first."""

    def ctl_command(self) -> tuple[list[str], dict[str, str]]:
        return ["docker", "exec", self._name, "rabbitmqctl", "--quiet"], dict(os.environ)

    def logged(self) -> str:
        return self._docker("logs", self._name)

    def running(self) -> bool:
        state = self._docker("inspect", "--format", "{{.State.Running}}", self._name, check=False)
        return state.strip() == "true"

    def kill(self) -> None:
        self._docker("kill", self._name, check=False)

    def restart(self) -> None:
        self._docker("stop", "--time", "40", self._name)
        self.start()

    def stop(self) -> None:
        self._docker("rm", "--force", "--volumes", self._name, check=False)

    @property
    def _name(self) -> str:
        return str(self.record["container"])

    def _settle(self) -> dict[str, Any]:
        ports = dict(zip(_INNER_PORTS, process.free_ports(len(_INNER_PORTS)), strict=True))
        # Clients come through Docker's bridge, which is no loopback address.
        self._write_configuration(["loopback_users = none"])
        return {"container": f"rd-{uuid.uuid4().hex[:10]}", "nodename": "rabbit@rd", **ports}

    def _spawn(self) -> None:
        exists = self._docker("ps", "--all", "--quiet", "--filter", f"name={self._name}")
        if exists:
            self._docker("start", self._name)
            return
        files = {
            "rabbitmq.conf": "/etc/rabbitmq/conf.d/90-tests.conf",
            "advanced.config": "/etc/rabbitmq/advanced.config",
            "enabled_plugins": "/etc/rabbitmq/enabled_plugins",
        }
        published = [f"127.0.0.1:{self.record[name]}:{inner}" for name, inner in _INNER_PORTS.items()]
        mounted = [f"{self.folder / name}:{inner}:ro" for name, inner in files.items()]
        options = [f"--publish={each}" for each in published] + [f"--volume={each}" for each in mounted]
        self._docker("run", "--detach", "--hostname=rd", f"--name={self._name}", *options, _IMAGE)

    def _docker(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise ServiceError(f"docker {arguments[0]}: {done.stderr.strip()}")
        return done.stdout


def engine_runs() -> bool:
    """Whether a Docker engine answers. Blocks for 10 s at most."""
    if not shutil.which("docker"):
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=10, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False
