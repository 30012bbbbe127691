"""Whether traces are made is decided by OpenTelemetry's own variables; without them contexts are carried alone."""

import subprocess
import sys
from dataclasses import dataclass, field
from datetime import datetime

import pytest
from structlog.testing import capture_logs

from worker.clock import ManualClock
from worker.model.trace_context import TraceContext
from worker.telemetry.tracing import TracedJob, Tracing, worker_tracing

CONTEXT = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=1")
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@dataclass
class Published:
    published_at: datetime | None = None


@dataclass
class Granted:
    attempts: int = 1


@dataclass
class Held:
    trace: TraceContext | None
    arrived_at: int = 0
    asked_at: int = 0
    returned_at: int = 0
    is_copy: bool = False
    shop: str = "acme"
    job_id: str = "5387ccdbdebf91f2892ba9d96e7d2201"
    job: Published = field(default_factory=Published)
    grant: Granted | None = None


@pytest.mark.parametrize(
    ("environment", "exports", "problem"),
    [
        ({}, False, None),
        ({"OTEL_SERVICE_NAME": "x"}, False, None),
        (ENDPOINT, True, None),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}, True, None),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True, None),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, False, None),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "True"}, False, None),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True, None),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, False, "OTEL_EXPORTER_OTLP_PROTOCOL"),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "zipkin"}, False, "OTEL_TRACES_EXPORTER"),
    ],
)
def test_who_asks_for_traces(environment: dict[str, str], *, exports: bool, problem: str | None) -> None:
    """What can't be done is logged, and no reason not to work."""
    with capture_logs() as logged:
        tracing = worker_tracing(environment, ManualClock())
        carrying = worker_tracing(environment, ManualClock(), carries=True)
    assert (tracing is not None) is exports
    assert carrying is not None
    assert carrying.exports is exports
    assert [line["problem"].split()[0] for line in logged] == ([problem] * 2 if problem else [])


def test_without_the_extra() -> None:
    """Asked for where it isn't installed: a line says what to install."""
    code = (
        "import sys; sys.path[:] = [p for p in sys.path if not p.endswith('site-packages')] + [sys.argv[1]];"
        "sys.modules['opentelemetry'] = None;"
        "from worker.clock import SystemClock; from worker.telemetry.tracing import worker_tracing;"
        "print(worker_tracing({'OTEL_TRACES_EXPORTER': 'otlp'}, SystemClock()))"
    )
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    ran = subprocess.run([sys.executable, "-c", code, packages], capture_output=True, text=True, check=True)
    assert "install referral-dispatch with the extra otel" in ran.stdout
    assert ran.stdout.endswith("None\n")


def test_a_context_is_carried() -> None:
    """To the calls of the thread that has the job in hand, and to its result; nobody collects it."""
    with Tracing() as tracing:
        job: TracedJob = Held(CONTEXT)
        tracing.admitted(job)
        assert tracing.call("http://127.0.0.1/", "acme").context == CONTEXT
        assert tracing.result(job, "referrals.results", "sent").context == CONTEXT
        assert tracing.collected() is None
        tracing.admitted(Held(None))
        assert tracing.call("http://127.0.0.1/", "acme").context is None
        assert tracing.published("acme", "id", "referrals").context is None
