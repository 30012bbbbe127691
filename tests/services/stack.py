"""All services under one folder, as a shell or a test session wants them."""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.services.base import RECORD, Service, ServiceError
from tests.services.container import RabbitMQContainer, engine_runs
from tests.services.postgresql import PostgreSQL
from tests.services.prometheus import Prometheus
from tests.services.rabbitmq import RabbitMQ, find_sbin
from tests.services.valkey import Valkey

_KINDS: dict[str, type[Service]] = {
    each.kind: each for each in (RabbitMQ, RabbitMQContainer, Valkey, PostgreSQL, Prometheus)
}


@dataclass(frozen=True)
class Stack:
    """A RabbitMQ, a Valkey and a PostgreSQL that run."""

    rabbitmq: RabbitMQ
    valkey: Valkey
    postgresql: PostgreSQL

    @property
    def services(self) -> tuple[Service, ...]:
        return self.rabbitmq, self.valkey, self.postgresql


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
    """All services running under ``folder``; starts those that don't, and none where one of them fails.

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
        with ExitStack() as started:
            # RabbitMQ is the last, since it takes the longest and fails for the most reasons.
            valkey = started.enter_context(Valkey(folder / "valkey"))
            postgresql = started.enter_context(PostgreSQL(folder / "postgresql"))
            made = Stack(open_rabbitmq(folder / "rabbitmq").create(), valkey, postgresql)
            started.pop_all()
            return made


def _refuse_another(running: RabbitMQ, folder: Path) -> None:
    wanted = os.environ.get("RABBITMQ_SBIN")
    if wanted and wanted != running.record.get("sbin"):
        raise ServiceError(f"another RabbitMQ runs in {folder}: scripts/services down first, or choose another --dir")


def attach(folder: Path) -> Stack:
    """The services that ``up`` started in ``folder``.

    Raises:
      ServiceError: one of them doesn't run.
    """
    running = [service for service in _found(folder.glob(f"*/{RECORD}")) if service.running()]
    rabbitmq, valkey, postgresql = _first(RabbitMQ, running), _first(Valkey, running), _first(PostgreSQL, running)
    if rabbitmq and valkey and postgresql:
        return Stack(rabbitmq, valkey, postgresql)
    named = {"RabbitMQ": rabbitmq, "Valkey": valkey, "PostgreSQL": postgresql}
    up, down = ([name for name, service in named.items() if bool(service) is wanted] for wanted in (True, False))
    if not up:
        raise ServiceError(f"none of {', '.join(down)} runs in {folder}: start them with scripts/services up")
    raise ServiceError(
        f"not running in {folder}: {', '.join(down)}; running: {', '.join(up)}; scripts/services up starts all anew, "
        "and what they hold is lost by it"
    )


Kind = TypeVar("Kind", bound=Service)


def _first(kind: type[Kind], services: Iterable[Service]) -> Kind | None:
    return next((each for each in services if isinstance(each, kind)), None)


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
