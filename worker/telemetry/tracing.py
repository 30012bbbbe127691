"""Traces: what carries a job's trace on, and makes its spans where OpenTelemetry is installed and configured.

Where neither is asked for there is no tracing at all, and nobody pays for it: a message's trace is a header, which its
copies and its result keep. Nothing here imports OpenTelemetry; :mod:`worker.telemetry.spans` makes the spans, and
docs/traces.md says what is in them.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from importlib.util import find_spec
from types import TracebackType
from typing import Protocol, Self

import structlog

from worker.clock import Clock
from worker.model.trace_context import TraceContext
from worker.text.masking import mask
from worker.text.visible import one_line

Attribute = str | int | bool

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

_NONE: Mapping[str, Attribute] = {}

log = structlog.get_logger(__name__)


class Span:
    """Something that is under way in a trace; this one is shown to nobody. ``context`` is what goes on with it."""

    def __init__(self, context: TraceContext | None) -> None:
        self.context = context

    def end(self, error: str | None = None, attributes: Mapping[str, Attribute] = _NONE) -> None:
        """It is over; ``error`` is a word for what went wrong. From any thread."""

    def end_at(self, nanoseconds: int) -> None:
        """The same, at an instant of the wall clock."""


class _PublishedJob(Protocol):
    @property
    def published_at(self) -> datetime | None: ...


class _Grant(Protocol):
    @property
    def attempts(self) -> int: ...


class TracedJob(Protocol):
    """What a trace needs to know of a job in hand. Instants are microseconds of the clock, 0 where there is none.

    ``arrived_at``: its message came. ``asked_at``: the store was asked for the call that is granted.
    ``returned_at``: its last call has ended, and it waits again. ``is_copy``: a worker has published its message.
    """

    trace: TraceContext | None
    arrived_at: int
    asked_at: int
    returned_at: int
    is_copy: bool
    shop: str

    @property
    def job(self) -> _PublishedJob: ...
    @property
    def grant(self) -> _Grant | None: ...
    @property
    def job_id(self) -> str: ...


class Tracing:
    """Makes no spans, and tells each call its job's trace. Any thread may use it. A context manager for a command."""

    exports = False
    """Whether somebody collects the traces."""

    def __init__(self) -> None:
        self._of_thread = threading.local()

    def start(self) -> None:
        """Begin in this process. A thread that exports would not live in a child, so call it after the fork."""

    def close(self) -> None:
        """Export what there still is; blocks for a bounded time, whatever the collector does."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def published(self, shop: str, job_id: str, destination: str) -> Span:
        """A job is handed to RabbitMQ: the span ``publish``, in the caller's trace or in a new one."""
        del shop, job_id, destination
        return Span(None)

    def admitted(self, job: TracedJob) -> None:
        """This worker thread begins with the job: the spans ``wait`` and ``admit``. Its calls belong to its trace."""
        self._of_thread.trace = job.trace

    def call(self, url: str, shop: str) -> Span:
        """This thread calls Refer2 for the job that it has in hand: the span ``call``."""
        del url, shop
        return Span(getattr(self._of_thread, "trace", None))

    def collected(self) -> str | None:
        """The trace (hex) of the job that this thread has in hand, if a collector gets its spans."""
        trace: TraceContext | None = getattr(self._of_thread, "trace", None)
        return trace.trace_id if self.exports and trace is not None and trace.is_sampled else None

    def result(self, job: TracedJob, destination: str, outcome: str) -> Span:
        """The job's result is handed over: the span ``result``."""
        del destination, outcome
        return Span(job.trace)


def worker_tracing(
    environment: Mapping[str, str], clock: Clock, *, carries: bool = False, system: str = "rabbitmq"
) -> Tracing | None:
    """What OpenTelemetry's own variables ask for, which is imported only then. ``carries``: calls carry their trace.
    ``system`` is what jobs come by, as OpenTelemetry names it.

    None where there is nothing to do: a message's trace goes on to its copies and its result by itself.
    """
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip()
    asked = bool(exporter) or any(environment.get(name) for name in _ENDPOINTS)
    if asked and exporter != "none" and environment.get("OTEL_SDK_DISABLED", "").strip().lower() != "true":
        problem = _problem(environment, exporter)
        if problem is None:
            from worker.telemetry.spans import ExportedTracing

            return ExportedTracing(environment, clock, system)
        report_off(problem)
    return Tracing() if carries else None


def caller_tracing(clock: Clock) -> Tracing | None:
    """The tracing of the program that publishes: by its own OpenTelemetry, whose context its jobs belong to."""
    make = _made_by_spans()
    return make(clock) if make is not None else None


@cache
def _made_by_spans() -> Callable[[Clock], Tracing] | None:
    # Once, with all else that a program's first call imports: a fork amid an import leaves its child waiting for ever.
    if not _is_installed("opentelemetry.trace"):
        return None
    from worker.telemetry.spans import SpanTracing

    return SpanTracing


def report_off(problem: str) -> None:
    """No spans are made, since what OpenTelemetry's variables ask for can't be done."""
    log.warning("traces_off", problem=one_line(mask(problem)))


def _problem(environment: Mapping[str, str], exporter: str) -> str | None:
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if exporter not in ("", "otlp"):
        return "OTEL_TRACES_EXPORTER may be otlp or none"
    if protocol not in (None, "", "http/protobuf"):
        return "OTEL_EXPORTER_OTLP_PROTOCOL may be http/protobuf"
    if not all(map(_is_installed, ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"))):
        return "install referral-dispatch with the extra otel"
    return None


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
