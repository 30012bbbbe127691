"""Both services under one folder, as a shell or a test session wants them."""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.services.base import RECORD, Service, ServiceError
from tests.services.container import RabbitMQContainer, engine_runs
from tests.services.prometheus import Prometheus
from tests.services.rabbitmq import RabbitMQ, find_sbin
from tests.services.valkey import Valkey

_KINDS: dict[str, type[Service]] = {each.kind: each for each in (RabbitMQ, RabbitMQContainer, Valkey, Prometheus)}


@dataclass(frozen=True)
class Stack:
    """A RabbitMQ and a Valkey that run."""

    rabbitmq: RabbitMQ
    valkey: Valkey


def open_rabbitmq(folder: Path, *, config: Sequence[str] = (), advanced: Mapping[str, str] | None = None) -> RabbitMQ:
    """A RabbitMQ of this machine that is not started yet: the installed one, else Docker's. See ``RabbitMQ``.

    Raises:
      ServiceError: there is neither.
    """
    if find_sbin():
        return RabbitMQ(folder, config=config, advanced=advanced)
    if engine_runs():
        return RabbitMQContainer(folder, config=config, advanced=advanced)
    raise ServiceError(
        "no RabbitMQ here: `apt install rabbitmq-server`, or set RABBITMQ_SBIN to the folder of its rabbitmqctl, "
        "or start a Docker engine"
    )


def up(folder: Path) -> Stack:
    """Both services running under ``folder``; starts those that don't, and none where one of them fails.

    Raises:
      ServiceError: one of them can't be had, or another RabbitMQ than the one that ``RABBITMQ_SBIN`` names runs there.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            running = attach(folder)
        except ServiceError:
            stop_all(folder)
        else:
            _refuse_another(running.rabbitmq, folder)
            return running
        valkey = Valkey(folder / "valkey").create()
        try:
            return Stack(open_rabbitmq(folder / "rabbitmq").create(), valkey)
        except BaseException:
            valkey.stop()
            raise


def _refuse_another(running: RabbitMQ, folder: Path) -> None:
    wanted = os.environ.get("RABBITMQ_SBIN")
    if wanted and wanted != running.record.get("sbin"):
        raise ServiceError(f"another RabbitMQ runs in {folder}: scripts/services down first, or choose another --dir")


def attach(folder: Path) -> Stack:
    """The services that ``up`` started in ``folder``.

    Raises:
      ServiceError: one of them doesn't run.
    """
    rabbitmq = valkey = None
    for service in _found(folder.glob(f"*/{RECORD}")):
        if not service.running():
            continue
        if isinstance(service, RabbitMQ):
            rabbitmq = service
        elif isinstance(service, Valkey):
            valkey = service
    if rabbitmq is not None and valkey is not None:
        return Stack(rabbitmq, valkey)
    if rabbitmq is not None:
        raise ServiceError(
            f"Valkey is down in {folder}, RabbitMQ runs: scripts/services up starts both anew, "
            "and the messages that RabbitMQ holds are lost by it"
        )
    if valkey is not None:
        raise ServiceError(
            f"RabbitMQ is down in {folder}, Valkey runs: scripts/services up starts both anew, "
            "and what Valkey holds, and the messages in RabbitMQ's folder, are lost by it"
        )
    raise ServiceError(f"neither RabbitMQ nor Valkey runs in {folder}: start them with scripts/services up")


def stop_all(folder: Path) -> int:
    """End every service whose folder lies anywhere under ``folder``, half-started ones too; says how many ran."""
    count = 0
    for service in _found(folder.rglob(RECORD)):
        count += service.running()
        service.stop()
    return count


def _found(records: Iterable[Path]) -> Iterator[Service]:
    for path in list(records):
        kind = json.loads(path.read_text())["kind"]
        yield _KINDS[kind](path.parent).load()
