"""Collectors and their database are killed at random while results arrive: what the tests and the fault suite share."""

import contextlib
import random
import signal
import threading
import time
from collections.abc import Iterator

from tests.integration.rabbitmq.tap import Tap, tapping
from tests.services import PostgreSQL, RabbitMQ, Vhost, wait_until
from tests.system.commands import Desk, Process
from tests.system.test_collect import KEY, RESULTS, job_id, result

_BATCH = 250

_QUIET_SECONDS = 0.4
"""Between two faults, about: a collector takes half a second to start."""


class Trouble:
    """A desk with collectors on a database of their own; ``seed`` decides what is killed and when."""

    def __init__(self, desk: Desk, database: PostgreSQL, collectors: int, seed: int) -> None:
        self.random = random.Random(seed)
        self.faults: dict[str, int] = {"a collector killed": 0, "the database killed": 0, "the database restarted": 0}
        self._desk = desk
        self._database = database
        self._url = database.add_database()
        self._started = 0
        self._collectors: list[Process] = [self._start() for _ in range(collectors)]

    def sql(self, statement: str) -> str:
        """What the database answers."""
        return self._database.sql(statement, self._url)

    def strike(self) -> None:
        """Kill something, and see that it runs again."""
        fault = self.random.choice([*self.faults, "a collector killed"])
        self.faults[fault] += 1
        if fault == "a collector killed":
            number = self.random.randrange(len(self._collectors))
            self._collectors[number].kill()
            self._collectors[number] = self._start()
        elif fault == "the database killed":
            self._database.kill()
            time.sleep(self.random.uniform(0, 0.5))
            self._database.start()
        else:
            self._database.restart()

    def end(self) -> list[int]:
        """Tell the collectors to stop; their exit codes."""
        for each in self._collectors:
            each.signal(signal.SIGTERM)
        return [each.wait() for each in self._collectors]

    def stderr(self) -> str:
        """What the collectors that are left have said."""
        return "\n".join(each.stderr for each in self._collectors)

    def _start(self) -> Process:
        """A collector that has found or made its schema: before that it ends if it can't, and dies by SIGTERM."""
        self._started += 1
        name = f"collector-{self._started}"
        collector = self._desk.start("collect", REFERRALS_POSTGRES_URL=f"{self._url}?application_name={name}")
        ready = "state = 'idle' AND query ~ 'max.version|COMMIT|referrals.results'"
        session = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}' AND {ready}"
        wait_until(lambda: self.sql(session) == "1", 60, f"{name} to connect")
        return collector


@contextlib.contextmanager
def arriving(vhost: Vhost, count: int, over_seconds: float) -> Iterator[threading.Thread]:
    """Publish the results of so many jobs in the background: every third first as expired, every tenth twice."""

    def publish() -> None:
        with tapping(vhost) as tap:
            for start in range(0, count, _BATCH):
                numbers = range(start, min(start + _BATCH, count))
                _confirmed(tap, [result(number, "expired") for number in numbers if number % 3 == 0])
                _confirmed(tap, [result(number) for number in numbers for _ in range(2 if number % 10 == 0 else 1)])
                time.sleep(over_seconds * _BATCH / count)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()


def _confirmed(tap: Tap, bodies: list[bytes]) -> None:
    channel = tap.channel.connection.channel()
    channel.tx_select()
    for body in bodies:
        channel.basic_publish("referrals.results", KEY, body)
    channel.tx_commit()
    channel.close()


def assert_one_row_a_job(
    desk: Desk, rabbitmq: RabbitMQ, vhost: Vhost, database: PostgreSQL, count: int, *, faults: int, seed: int
) -> Trouble:
    """Let results of ``count`` jobs arrive amid ``faults``; then each job has one row, of its call, and none waits."""
    trouble = Trouble(desk, database, collectors=3, seed=seed)
    told = f"seed {seed}"
    wait_until(lambda: rabbitmq.depths(vhost).get(RESULTS) is not None, 30, "a collector to declare the queue")
    with arriving(vhost, count, over_seconds=faults * _QUIET_SECONDS):
        for _ in range(faults):
            time.sleep(trouble.random.uniform(0, 2 * _QUIET_SECONDS))
            trouble.strike()
    wait_until(lambda: rabbitmq.depths(vhost).get(RESULTS) == 0, 120, f"an empty queue, {told}: {trouble.faults}")
    codes = trouble.end()
    assert codes == [0, 0, 0], f"{codes}, {told}: {trouble.stderr()}"
    rows = trouble.sql("SELECT job_id, outcome FROM referrals.results").splitlines()
    assert sorted(rows) == sorted(f"{job_id(number)}|sent" for number in range(count)), told
    assert "Traceback" not in trouble.stderr()
    return trouble
