"""The entry of a worker that can be made to die at a chosen step: ``dramatiq tests.faults.actors``.

It is ``worker.actors`` with failpoints around the collaborators that the wiring takes. A point is armed by a file of
its name in the folder that ``FAULTS_ARMED`` names; the one process that removes the file ends there, by SIGKILL, and
leaves the id of the job that had come so far in ``victims``. A job whose reference is ``exit`` ends whatever process
calls it.
"""

import os
import signal
from pathlib import Path

import dramatiq

from worker import health, logs, settings
from worker.clock import DAY, SystemClock

loaded = settings.load()
logs.configure(loaded.log_level, loaded.log_format)
health.shared_metrics_of_parent()

# Only now: see worker.metrics.
from worker.app import Refer, build_worker  # noqa: E402
from worker.jobs import Job, Outcome  # noqa: E402
from worker.shops import ShopConfig  # noqa: E402
from worker.store.base import Ask  # noqa: E402
from worker.store.redis import RedisStore  # noqa: E402
from worker.verdicts import Verdict  # noqa: E402

ARMED = Path(os.environ["FAULTS_ARMED"])


def reach(point: str, job_id: str) -> None:
    """End here if the point is armed."""
    try:
        (ARMED / point).unlink()
    except FileNotFoundError:
        return
    with (ARMED / "victims").open("a") as victims:
        victims.write(f"{job_id}\n")
    os.kill(os.getpid(), signal.SIGKILL)


class FailingStore(RedisStore):
    """Dies once an answer is recorded and nothing is published yet, or once a result is confirmed and not settled."""

    def answer(self, ask: Ask, epoch: int, result: str) -> bool:
        recorded = super().answer(ask, epoch, result)
        reach("after_answer", ask.job_id)
        return recorded

    def settle(self, ask: Ask, epoch: int, outcome: Outcome, code: str | None = None) -> None:
        reach("after_confirm", ask.job_id)
        super().settle(ask, epoch, outcome, code)


def failing(refer: Refer) -> Refer:
    """Dies once the job is granted and nothing is sent yet."""

    def call(shop: ShopConfig, job: Job) -> Verdict:
        reach("before_send", job.job_id)
        if job.reference == "exit":
            os._exit(3)
        return refer(shop, job)

    return call


assert loaded.redis_url is not None
store = FailingStore(loaded.redis_url.get_secret_value(), SystemClock(), retention=loaded.retention_days * DAY)
broker = build_worker(loaded, store=store, around_call=failing).broker
dramatiq.set_broker(broker)
