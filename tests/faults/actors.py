"""The entry of a worker that can be made to die at a chosen step: ``dramatiq tests.faults.actors``.

It is ``worker.actors`` with failpoints around the collaborators that the wiring takes. A point is armed by a file of
its name in the folder that ``FAULTS_ARMED`` names; the one process that removes the file ends there, by SIGKILL, and
leaves a line in ``deaths``. A job whose reference is ``exit`` ends whatever process calls it, and one whose reference
is ``unreadable`` whatever process reads it.
"""

import json
import os
import signal
import threading
from pathlib import Path

import dramatiq

from worker import settings
from worker.clock import SystemClock
from worker.instants import DAY
from worker.telemetry import logs, metrics_folder

loaded = settings.load()
logs.configure(loaded.log_level, loaded.log_format)
metrics_folder.shared_metrics_of_parent()

# Only now: see worker.telemetry.metrics.
from worker.app import Refer, build_worker  # noqa: E402
from worker.errors import BrokerError  # noqa: E402
from worker.model.job import Job  # noqa: E402
from worker.model.message import decode_message  # noqa: E402
from worker.model.outcomes import Outcome  # noqa: E402
from worker.model.verdicts import Verdict  # noqa: E402
from worker.rabbitmq.outgoing import Outgoing  # noqa: E402
from worker.rabbitmq.publisher import Publisher  # noqa: E402
from worker.rabbitmq.topology import RESULTS  # noqa: E402
from worker.shops.config import ShopConfig  # noqa: E402
from worker.store.braking import Braking  # noqa: E402
from worker.store.protocol import AdmitRequest  # noqa: E402
from worker.store.redis.store import RedisStore  # noqa: E402

ARMED = Path(os.environ["FAULTS_ARMED"])
DEATHS = ARMED / "deaths"

HELD_BACK_SECONDS = 0.5
"""How long a process goes on with a result that it never sends: long enough to acknowledge the job too early."""


class Calls:
    """The calls of this process that are under way, or whose outcome nothing has recorded yet."""

    def __init__(self) -> None:
        self._under_way: set[str] = set()
        self._lock = threading.Lock()

    def begin(self, job_id: str) -> None:
        """The call is about to be made."""
        with self._lock:
            self._under_way.add(job_id)

    def end(self, job_id: str) -> None:
        """The ledger knows how the call ended: no fault makes it again."""
        self._under_way.discard(job_id)

    def die(self, point: str, job_id: str) -> None:
        """End this process, and leave word of it. No call starts after that word."""
        with self._lock:
            word = {"point": point, "victim": job_id, "under_way": sorted(self._under_way)}
            with DEATHS.open("a") as deaths:
                deaths.write(json.dumps(word) + "\n")
            os.kill(os.getpid(), signal.SIGKILL)
            threading.Event().wait()


calls = Calls()


def is_struck(point: str, job_id: str) -> bool:
    """Whether this process is to end here. Another death of the same job's would make it one that kills its workers."""
    if not (ARMED / point).exists() or (DEATHS.exists() and f'"victim": "{job_id}"' in DEATHS.read_text()):
        return False
    try:
        (ARMED / point).unlink()
    except FileNotFoundError:
        return False
    return True


def reach(point: str, job_id: str) -> None:
    """End here if the point is armed."""
    if is_struck(point, job_id):
        calls.die(point, job_id)


class FailingStore(RedisStore):
    """Dies before an answer is recorded or right after it, or once a result is confirmed and not settled."""

    def answer(self, request: AdmitRequest, epoch: int, result: str) -> bool:
        reach("before_answer", request.job_id)
        recorded = super().answer(request, epoch, result)
        calls.end(request.job_id)
        reach("after_answer", request.job_id)
        return recorded

    def settle(
        self,
        request: AdmitRequest,
        epoch: int,
        outcome: Outcome,
        code: str | None = None,
        *,
        braking: Braking | None = None,
    ) -> None:
        reach("after_confirm", request.job_id)
        super().settle(request, epoch, outcome, code, braking=braking)


class FailingPublisher(Publisher):
    """Dies with a result that it was handed and has not sent, or whose confirm it has and nobody has heard of yet."""

    def publish(self, message: Outgoing) -> None:
        if message.exchange != RESULTS or message.message_id is None:
            super().publish(message)
            return
        job_id, done = message.message_id, message.done

        def confirmed(error: BrokerError | None) -> None:
            reach("before_ack", job_id)
            done(error)

        if is_struck("before_publish", job_id):
            threading.Timer(HELD_BACK_SECONDS, calls.die, ("before_publish", job_id)).start()
            return
        message.done = confirmed
        super().publish(message)


def failing_decode(body: bytes) -> Job:
    """Dies while it reads a message that says so."""
    if b'"reference": "unreadable"' in body:
        os._exit(3)
    return decode_message(body)


def failing(refer: Refer) -> Refer:
    """Dies once the job is granted and nothing is sent yet."""

    def call(shop: ShopConfig, job: Job) -> Verdict:
        reach("before_send", job.job_id)
        if job.reference == "exit":
            os._exit(3)
        calls.begin(job.job_id)
        return refer(shop, job)

    return call


assert loaded.redis_url is not None
store = FailingStore(loaded.redis_url.get_secret_value(), SystemClock(), retention=loaded.retention_days * DAY)
broker = build_worker(
    loaded, store=store, around_call=failing, publisher=FailingPublisher, decode=failing_decode
).broker
dramatiq.set_broker(broker)
