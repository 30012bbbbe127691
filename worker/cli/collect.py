"""``referrals collect``: writes results from RabbitMQ to a file."""

import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from worker.backoff import Backoff
from worker.cli import console, options
from worker.cli.settings import load
from worker.errors import BrokerError, DeadLetterError
from worker.model.rehearsal import is_rehearsed
from worker.model.result import check_result
from worker.rabbitmq.connection import Parameters, parameters
from worker.rabbitmq.result_consumer import ResultConsumer
from worker.rabbitmq.topology import RESULTS
from worker.results.file import Format, ResultsFile
from worker.results.index import ResultIndex
from worker.text.bounds import RESULT, loads

POLL_SECONDS = 0.5
"""Longest wait for results, after which a signal to stop is obeyed."""

LONGEST_BACKOFF_SECONDS = 15.0
"""Longest pause before RabbitMQ is tried again."""

log = structlog.get_logger(__name__)


def collect(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="File to write; an existing one is continued.")],
    form: Annotated[Format, typer.Option("--format", help="One row or one line of JSON per job.")] = "csv",
    until_idle: Annotated[
        float | None,
        typer.Option(
            "--until-idle",
            metavar="SECONDS",
            min=0.1,
            help="End after this many seconds without a result, even if there was none at all.",
            show_default=False,
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Write results to a file, one row per job, and acknowledge them once they are on disk.

    An existing file is continued: a job that it holds is not written again. If the file has the job as `expired` or
    `cancelled` and the job was called later, a second row is added, and that row counts. SIGTERM and Ctrl-C end the
    command cleanly.

    Example: `referrals collect --out results.csv --until-idle 30`
    """
    loaded = load()
    params = parameters(loaded.amqp_url.get_secret_value(), name="referral-dispatch collect")
    # A signal only sets a flag: what is being written is finished, synced and acknowledged before the command ends.
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with ResultIndex() as seen:
        output = Output(ResultsFile(out, form), seen)
        try:
            why = _collect(params, output, stop, until_idle)
        finally:
            output.close()
    rows = [(outcome, f"{number:,}") for outcome, number in output.outcomes.most_common()]
    rows += [("repeated", f"{output.repeated:,}")] if output.repeated else []
    rows += (
        [("called after all", f"{output.superseding:,} that had ended without a call")] if output.superseding else []
    )
    rows += [("not a result", f"{output.unreadable:,} moved to referrals.dead")] if output.unreadable else []
    rows += [("from a SANDBOX", f"{output.rehearsed:,}: nobody was called, and their links lead nowhere")] * (
        output.rehearsed > 0
    )
    rows.append(("results are in", f"{out} ({output.known + output.outcomes.total():,} rows)"))
    data = {
        "outcomes": dict(output.outcomes),
        "repeated": output.repeated,
        "superseding": output.superseding,
        "unreadable": output.unreadable,
        "sandbox": output.rehearsed,
        "results": str(out),
        "results_rows": output.known + output.outcomes.total(),
    }
    console.summary(rows, data, as_json=as_json)
    if why is not None:
        console.say(why)


class Output:
    """The results file, the jobs that it holds, and counts for the summary. Used by the main thread alone."""

    def __init__(self, file: ResultsFile, seen: ResultIndex) -> None:
        self._file = file
        self._seen = seen
        self.known = 0
        self.outcomes: Counter[str] = Counter()
        self.repeated = 0
        self.superseding = 0
        self.unreadable = 0
        self.rehearsed = 0
        for job_id, outcome in file.resume():
            self.known += 1
            seen.check(job_id, outcome)

    def take(self, bodies: list[tuple[int, bytes]]) -> list[int]:
        """Write a batch of bodies with their delivery tags, and sync it to disk; returns the tags of what is no result.

        What is acknowledged after this can't get lost. One fsync serves the whole batch, since it takes milliseconds.
        """
        bad = []
        for tag, body in bodies:
            result = _result(body)
            if result is None:
                bad.append(tag)
            elif (sighting := self._seen.check(result["job_id"], result["outcome"])) == "repeated":
                self.repeated += 1
            else:
                self._file.add_parsed(result)
                self.outcomes[result["outcome"]] += 1
                self.superseding += sighting == "superseding"
                self.rehearsed += is_rehearsed(result)
        self._file.sync()
        self.unreadable += len(bad)
        return bad

    def close(self) -> None:
        self._file.close()


def _collect(params: Parameters, output: Output, stop: threading.Event, until_idle: float | None) -> str | None:
    """Take results until a signal or, with ``until_idle``, until none came for so long. Blocks.

    Reconnects by itself, and returns why it ended if no result came at all.
    """
    why = None
    came = False
    backoff = Backoff(POLL_SECONDS, LONGEST_BACKOFF_SECONDS)
    collector = ResultConsumer(params)
    last = time.monotonic()
    while not stop.is_set():
        try:
            batch = collector.batch(seconds=min(POLL_SECONDS, until_idle or POLL_SECONDS))
            if batch:
                last, came = time.monotonic(), True
                bad = output.take(batch)
                collector.reject(bad)
                # One acknowledgement covers every tag up to its own; the bad ones are already rejected.
                if len(bad) < len(batch):
                    collector.ack(max(tag for tag, _ in batch if tag not in bad))
            elif until_idle is not None and time.monotonic() - last >= until_idle:
                why = None if came else _nothing_came(until_idle, collector.others())
                break
            backoff.reset()
        except BrokerError as error:
            log.warning("collector_disconnected", problem=str(error))
            with suppress(BrokerError):
                # An open channel would keep its unacknowledged results from the next one.
                collector.close()
            collector = _reconnect(params, stop, backoff.next()) or collector
            # While the connection was away no result could come, so that time doesn't count as idle.
            last = time.monotonic()
    collector.close()
    return why


def _nothing_came(seconds: float, others: int) -> str:
    """Why no result came, as far as RabbitMQ tells: ``others`` are other consumers of the results."""
    if others:
        return f"no result came within {seconds:g} s; other consumers are taking results from {RESULTS}: {others}"
    return (
        f"no result came within {seconds:g} s; `referrals status` shows whether jobs are published and a worker runs; "
        "start this again then, or raise --until-idle; results that were already collected don't come again"
    )


def _reconnect(params: Parameters, stop: threading.Event, pause: float) -> ResultConsumer | None:
    """A new connection after a pause; None if RabbitMQ is still out of reach. A signal ends the pause."""
    stop.wait(pause)
    try:
        return ResultConsumer(params)
    except BrokerError:
        return None


def _result(body: bytes) -> dict[str, Any] | None:
    """The result in a body; None if it is no valid result of this schema."""
    # A newer schema might use the same names for other things, so its results wait in the dead queue for a newer
    # collect. A result under another job's id is refused too: that job's own result would be dropped as repeated.
    try:
        result: dict[str, Any] = loads(body, RESULT)
        check_result(result)
    except (ValueError, DeadLetterError):
        return None
    return result
