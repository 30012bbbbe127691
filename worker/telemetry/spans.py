"""The spans, by OpenTelemetry; the one place that imports it, and only where it is asked for.

Names of attributes are those of its semantic conventions for messaging and HTTP. No attribute holds an address, a
customer's id or a text of a producer's: whoever reads traces need not be one who may read those.
"""

import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.trace.propagation import set_span_in_context

from worker.clock import Clock
from worker.instants import DAY, from_datetime
from worker.model.trace_context import TraceContext, read_trace_context
from worker.telemetry.tracing import Attribute, Span, TracedJob, Tracing, report_off

SCOPE = "referral-dispatch"
"""Names who makes the spans, and the service unless OTEL_SERVICE_NAME does."""

LAST_WORDS_SECONDS = 3.0
"""How long the end of a process waits for its last spans. A collector takes milliseconds, one that hangs for ever."""

LONGEST_WAIT = 30 * DAY
"""A wait is shown as no longer: a producer that states an earlier publication has a wrong clock."""


class SpanTracing(Tracing):
    """Makes spans by the provider that this program has set; where none is set, contexts are carried on all the same.

    All spans of a job are children of ``publish``. Where a message names no trace, the first ``wait`` begins one, and
    the others are children of that.
    """

    def __init__(self, clock: Clock, system: str = "rabbitmq") -> None:
        super().__init__()
        self._clock = clock
        self._system = system
        self._tracer = trace.get_tracer(SCOPE)

    def published(self, shop: str, job_id: str, destination: str) -> Span:
        attributes = self._sending("publish", destination, shop, job_id)
        return self._start("publish", None, SpanKind.PRODUCER, attributes)

    def admitted(self, job: TracedJob) -> None:
        now = self._clock.now()
        asked = min(job.asked_at or now, now)
        wall = self._clock.ahead()
        since, published = job.returned_at or job.arrived_at or asked, job.job.published_at
        if not job.returned_at and not job.is_copy and published is not None:
            since = min(since, max(from_datetime(published) - wall, since - LONGEST_WAIT))
        common = {"messaging.system": self._system, "messaging.message.id": job.job_id, "referral.shop": job.shop}
        received: dict[str, Attribute] = {
            **common,
            "messaging.operation.name": "wait",
            "messaging.operation.type": "receive",
            "referral.copy": job.is_copy,
        }
        waited = self._start("wait", job.trace, SpanKind.CONSUMER, received, min(since, asked))
        job.trace = job.trace or waited.context
        waited.end_at(self._nanoseconds(asked))
        attempt = job.grant.attempts if job.grant is not None else 0
        admitting: dict[str, Attribute] = {**common, "referral.attempt": attempt}
        self._start("admit", job.trace, SpanKind.INTERNAL, admitting, asked).end_at(self._nanoseconds(now))
        super().admitted(job)

    def call(self, url: str, shop: str) -> Span:
        parent = getattr(self._of_thread, "trace", None)
        if parent is None:
            # Nobody's job: a look at a shop's token.
            return Span(None)
        attributes = {**_http(url), "referral.shop": shop}
        return self._start("call", parent, SpanKind.CLIENT, attributes)

    def result(self, job: TracedJob, destination: str, outcome: str) -> Span:
        attributes = {**self._sending("result", destination, job.shop, job.job_id), "referral.outcome": outcome}
        return self._start("result", job.trace, SpanKind.PRODUCER, attributes)

    def _sending(self, operation: str, destination: str, shop: str, job_id: str) -> dict[str, Attribute]:
        return {
            "messaging.system": self._system,
            "messaging.operation.name": operation,
            "messaging.operation.type": "send",
            "messaging.destination.name": destination,
            "messaging.message.id": job_id,
            "referral.shop": shop,
        }

    def _start(
        self,
        name: str,
        parent: TraceContext | None,
        kind: SpanKind,
        attributes: Mapping[str, Attribute],
        at: int | None = None,
    ) -> Span:
        if parent is not None and not parent.is_sampled:
            # Whoever began the trace wants no spans of it, and to ask the SDK costs nearly as much as to make them.
            return Span(parent)
        # By our clock throughout: spans are begun and ended on several threads, and must be in order.
        context = None if parent is None else set_span_in_context(NonRecordingSpan(_read(parent)))
        began = self._nanoseconds(self._clock.now() if at is None else at)
        return _Made(
            self._tracer.start_span(name, context, kind, attributes, start_time=began),
            lambda: self._nanoseconds(self._clock.now()),
        )

    def _nanoseconds(self, instant: int) -> int:
        return (instant + self._clock.ahead()) * 1000


class ExportedTracing(SpanTracing):
    """Exports the spans of this process over OTLP, as OpenTelemetry's variables say. None are made before `start`.

    Its queue is bounded and its thread is its own: with a collector that is away, spans are dropped, and nobody waits.
    """

    exports = True

    def __init__(self, environment: Mapping[str, str], clock: Clock, system: str) -> None:
        super().__init__(clock, system)
        self._environment = environment
        self._tracer = trace.NoOpTracer()
        self._provider: Any = None

    def start(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        # What is given here would go before what the environment says.
        named = "OTEL_SERVICE_NAME" in self._environment
        named = named or "service.name=" in self._environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
        try:
            resource = Resource.create({} if named else {"service.name": SCOPE})
            provider = TracerProvider(resource=resource, shutdown_on_exit=False)
            provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        except Exception as error:  # noqa: BLE001 - the SDK names no errors; a variable that it refuses must stop no call
            self.exports = False
            report_off(f"OpenTelemetry refuses a variable: {type(error).__name__}: {error}")
            return
        self._provider, self._tracer = provider, provider.get_tracer(SCOPE)

    def close(self) -> None:
        if self._provider is None:
            return
        # The provider's own end would wait for the exporter's whole time-out, and for its repeats.
        last_words = threading.Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        last_words.start()
        last_words.join(LAST_WORDS_SECONDS)


class _Made(Span):
    def __init__(self, span: trace.Span, now: Any) -> None:
        super().__init__(_written(span.get_span_context()))
        self._span = span
        self._now = now

    def end(self, error: str | None = None, attributes: Mapping[str, Attribute] = {}) -> None:
        self._span.set_attributes(attributes)
        if error is not None:
            self._span.set_attribute("error.type", error)
            self._span.set_status(Status(StatusCode.ERROR))
        self.end_at(self._now())

    def end_at(self, nanoseconds: int) -> None:
        self._span.end(nanoseconds)


@lru_cache(4096)
def _http(url: str) -> dict[str, Attribute]:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {
        "http.request.method": "POST",
        "url.full": url,
        "server.address": parts.hostname or "",
        "server.port": port,
    }


def _read(context: TraceContext) -> SpanContext:
    _, trace_id, span_id, flags = context.traceparent.split("-")
    state = TraceState.from_header([context.tracestate]) if context.tracestate else None
    return SpanContext(
        int(trace_id, 16),
        int(span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(flags, 16) & 1),
        trace_state=state,
    )


def _written(context: SpanContext) -> TraceContext | None:
    if not context.is_valid:
        return None
    traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}"
    # Read again, so that what a program has put into its own state is bounded as if it came from outside.
    return read_trace_context({"traceparent": traceparent, "tracestate": context.trace_state.to_header()})
