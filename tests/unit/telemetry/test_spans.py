"""Spans by OpenTelemetry's own SDK, into its exporter in memory."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from tests.unit.telemetry.test_tracing import CONTEXT, Granted, Held, Published
from worker.clock import ManualClock
from worker.instants import DAY, SECOND, to_datetime
from worker.telemetry.spans import ExportedTracing, SpanTracing

NOON = int(datetime(2026, 11, 2, 12, tzinfo=UTC).timestamp()) * SECOND


class Recorded(SpanTracing):
    """Into memory."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.kept = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.kept))
        self._tracer = provider.get_tracer("test")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def tracing(clock: ManualClock) -> Iterator[Recorded]:
    with Recorded(clock) as made:
        yield made


def lengths(tracing: Recorded) -> dict[str, float]:
    """The spans' lengths in seconds."""
    return {
        span.name: (span.end_time - span.start_time) / 1e9
        for span in tracing.kept.get_finished_spans()
        if span.end_time is not None and span.start_time is not None
    }


@pytest.mark.parametrize(
    ("job", "waited"),
    [
        (Held(CONTEXT, NOON - 3 * SECOND, job=Published(to_datetime(NOON - 60 * SECOND))), 58),
        (Held(CONTEXT, NOON - 3 * SECOND, job=Published(to_datetime(NOON - 60 * SECOND)), is_copy=True), 1),
        (Held(CONTEXT, NOON - 3 * SECOND, returned_at=NOON - 2 * SECOND - 1), 0),
        (Held(CONTEXT, NOON - 3 * SECOND, job=Published(to_datetime(NOON) + timedelta(days=1))), 1),
        (Held(CONTEXT, NOON - 3 * SECOND, job=Published(datetime(1970, 1, 1, tzinfo=UTC))), 30 * DAY // SECOND + 1),
    ],
    ids=["published", "back from a delay", "returned to the gate", "from the future", "from 1970"],
)
def test_how_long_a_job_waited(tracing: Recorded, job: Held, waited: int) -> None:
    """From its publication, or since it came back; then it is asked for, and a thread takes it up."""
    job.asked_at = NOON - 2 * SECOND
    job.grant = Granted()
    tracing.admitted(job)
    assert lengths(tracing) == {"wait": pytest.approx(waited, abs=1e-4), "admit": 2}


def test_a_clock_that_was_put_right(tracing: Recorded, clock: ManualClock) -> None:
    """Spans are shown by the wall clock."""
    clock.correct(600 * SECOND)
    tracing.admitted(Held(None, NOON, asked_at=NOON))
    waited = tracing.kept.get_finished_spans()[0]
    assert waited.start_time == (NOON + 600 * SECOND) * 1000


def test_a_trace_that_begins_here(tracing: Recorded) -> None:
    """Its first wait is the root; the job carries it on, and the thread's exemplars name it."""
    job = Held(None, NOON, asked_at=NOON)
    tracing.admitted(job)
    assert job.trace is not None
    called = tracing.call("https://api.example/api/v1/acme/Refer2", "acme")
    called.end("503", {"http.response.status_code": 503})
    waited, admitted, call = tracing.kept.get_finished_spans()
    assert waited.parent is None
    assert waited.context is not None
    assert [span.parent and span.parent.span_id for span in (admitted, call)] == [waited.context.span_id] * 2
    assert job.trace.trace_id == trace.format_trace_id(waited.context.trace_id)
    assert call.attributes is not None
    assert call.attributes["server.port"] == 443
    assert call.status.status_code is trace.StatusCode.ERROR


def test_who_wants_no_spans(tracing: Recorded) -> None:
    """A trace that isn't sampled is carried on as it came, whatever the sampler here would say."""
    unsampled = CONTEXT._replace(traceparent=CONTEXT.traceparent[:-2] + "00")
    job = Held(unsampled, NOON, asked_at=NOON)
    tracing.admitted(job)
    called = tracing.call("https://api.example/api/v1/acme/Refer2", "acme")
    assert (job.trace, called.context, tracing.result(job, "x", "sent").context) == (unsampled,) * 3
    assert not tracing.kept.get_finished_spans()


def test_nobody_s_call(tracing: Recorded) -> None:
    """A look at a shop's token belongs to no job, and has no span."""
    assert tracing.call("https://api.example/api/v1/acme/Status2", "acme").context is None
    assert not tracing.kept.get_finished_spans()


@pytest.mark.parametrize(
    ("variable", "value"), [("OTEL_BSP_MAX_QUEUE_SIZE", "100"), ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "-3")]
)
def test_a_variable_that_the_sdk_refuses(clock: ManualClock, variable: str, value: str) -> None:
    """The process works without spans, of which a line says why."""
    environment = os.environ.copy()
    os.environ[variable] = value
    try:
        with capture_logs() as logged, ExportedTracing({}, clock, "rabbitmq") as tracing:
            job = Held(CONTEXT, NOON, asked_at=NOON)
            tracing.admitted(job)
            assert tracing.call("https://api.example/api/v1/acme/Refer2", "acme").context == CONTEXT, "it is carried on"
            assert tracing.collected() is None
    finally:
        os.environ.clear()
        os.environ.update(environment)
    (line,) = logged
    assert (line["event"], line["log_level"]) == ("traces_off", "warning")
    assert "OpenTelemetry refuses a variable: ValueError: " in line["problem"]
    assert "\n" not in line["problem"]


def test_a_caller_without_an_sdk(clock: ManualClock) -> None:
    """OpenTelemetry's API alone makes no spans, and carries the caller's context all the same."""
    tracing = SpanTracing(clock)
    assert tracing.published("acme", "id", "referrals").context is None
    parent = trace.SpanContext(1, 2, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(parent)):
        context = tracing.published("acme", "id", "referrals").context
    assert context is not None
    assert context.traceparent == f"00-{1:032x}-{2:016x}-01"
