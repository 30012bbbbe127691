"""A job's trace, from the program that publishes it to its result, as a collector gets it."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping

import pika
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.services import Vhost, wait_until
from tests.system.commands import Desk
from tests.system.otlp import Collector, Span

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"

# A user's own program, which has set OpenTelemetry up for itself.
PROGRAM = """
import sys
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from worker import Customer, Job, publish

trace.set_tracer_provider(TracerProvider())
trace.get_tracer_provider().add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
with trace.get_tracer("shop").start_as_current_span("checkout"):
    jobs = [Job.create(shop="acme", campaign="spring", customer=Customer(shopid=shopid, email="jane@example.com"),
                       channel="email", destination="jane@example.com") for shopid in sys.argv[1:]]
    publish(jobs)
trace.get_tracer_provider().shutdown()
"""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as made:
        yield made


def begin(desk: Desk, collector: Collector | None, **env: str) -> None:
    """A sandbox, and a worker that exports to the collector."""
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    sandbox = desk.start_sandbox("--shops", "shops.toml")
    desk.write_shops(sandbox.url, ["acme"])
    if collector is not None:
        # The worker exports often; how often has no bearing on what.
        desk.env |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    work = desk.start("work", **env)
    wait_until(lambda: '"subscribed"' in work.stderr or not work.running(), 30, "the worker")


def publish_from_a_program(desk: Desk, *shopids: str) -> None:
    env = desk.env | {"OTEL_SERVICE_NAME": "web-shop"}
    subprocess.run([sys.executable, "-c", PROGRAM, *shopids], env=env, cwd=desk.folder, check=True, timeout=60)


def publish_by_hand(vhost: Vhost, job: Mapping[str, object], headers: Mapping[str, object]) -> None:
    """As a producer without the package does."""
    job_id = str(job["job_id"])
    body: dict[str, object] = {
        "queue_name": "referrals",
        "actor_name": "refer",
        "args": [],
        "kwargs": {"job": job},
        "options": {},
    }
    body |= {"message_id": job_id, "message_timestamp": 1793577600000}
    properties = pika.BasicProperties(delivery_mode=2, message_id=job_id, headers=dict(headers))
    with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("referrals", "acme", json.dumps(body).encode(), properties, mandatory=True)


def made_job(desk: Desk, shopid: str) -> dict[str, object]:
    """A job's fields, by the package."""
    code = (
        "import sys; from worker import Customer, Job; print(Job.create(shop='acme', campaign='spring', "
        "customer=Customer(shopid=sys.argv[1]), channel='sms').model_dump_json(exclude_none=True))"
    )
    made = subprocess.run([sys.executable, "-c", code, shopid], capture_output=True, check=True, timeout=60)
    job: dict[str, object] = json.loads(made.stdout)
    return job


def results(vhost: Vhost) -> list[pika.BasicProperties]:
    """The properties of the results that wait to be collected."""
    found = []
    with pika.BlockingConnection(pika.URLParameters(vhost.url)) as connection:
        channel = connection.channel()
        while (got := channel.basic_get("referrals.results"))[0] is not None:
            found.append(got[1])
    return found


def exemplars(desk: Desk) -> set[tuple[str, str]]:
    """What the page has beside the calls' lengths: whether they were answered, and traces."""
    url = f"http://127.0.0.1:{desk.env['REFERRALS_METRICS_PORT']}/metrics"
    request = urllib.request.Request(url, headers={"Accept": "application/openmetrics-text"})
    with urllib.request.urlopen(request, timeout=10) as page:
        families = list(text_string_to_metric_families(page.read().decode()))  # type: ignore[no-untyped-call] # no types there
    found = set()
    for sample in (sample for family in families for sample in family.samples if sample.exemplar is not None):
        assert sample.name == "refer2_call_duration_seconds_bucket"
        assert 0 < sample.exemplar.value <= float(sample.labels["le"])
        found.add((sample.labels["answered"], sample.exemplar.labels["trace_id"]))
    return found


def shown(spans: list[Span]) -> str:
    """The spans as lines, times in milliseconds from the first one's beginning."""
    zero = spans[0].began
    return "\n".join(
        f"{(span.began - zero) / 1e6:9.3f} {(span.ended - zero) / 1e6:9.3f} {span.service:18} {span.kind:9}"
        f"{span.name:9} {span.span_id} < {span.parent or '-':16} {span.attributes}"
        for span in spans
    )


def test_one_job(desk: Desk, vhost: Vhost, collector: Collector) -> None:
    """One trace from the caller's span to the result: five spans of ours, in order, that name nobody."""
    begin(desk, collector)
    publish_from_a_program(desk, "c1")
    wait_until(lambda: len(collector.spans) == 6, 30, "six spans")
    spans = collector.spans
    print(f"\ntrace {spans[0].trace_id}\n{shown(spans)}")
    checkout, publish, wait, admit, call, result = spans
    assert [span.name for span in spans] == ["checkout", "publish", "wait", "admit", "call", "result"]
    assert {span.trace_id for span in spans} == {checkout.trace_id}
    assert (checkout.parent, publish.parent) == ("", checkout.span_id)
    assert {span.parent for span in (wait, admit, call, result)} == {publish.span_id}
    assert wait.ended == admit.began
    assert admit.ended <= call.began <= call.ended <= result.began <= result.ended
    assert [span.kind for span in spans[1:]] == ["PRODUCER", "CONSUMER", "INTERNAL", "CLIENT", "PRODUCER"]
    assert [span.service for span in spans] == ["web-shop"] * 2 + ["referral-dispatch"] * 4
    assert call.attributes["http.request.method"] == "POST"
    assert call.attributes["http.response.status_code"] == 200
    assert result.attributes["messaging.destination.name"] == "referrals.results"
    assert result.attributes["referral.outcome"] == "sent"
    assert publish.attributes["messaging.message.id"] == result.attributes["messaging.message.id"]
    assert not re.search("jane|example|c1'", str(spans))
    assert exemplars(desk) == {("true", checkout.trace_id)}
    (properties,) = results(vhost)
    assert properties.headers["traceparent"] == f"00-{result.trace_id}-{result.span_id}-01"


def test_each_job_waits_from_its_own_publication(desk: Desk, collector: Collector) -> None:
    """A campaign takes its time to publish, and no job's `wait` begins before its own `publish`."""
    begin(desk, collector)
    desk.write_export("export.csv", [{"shop": "acme", "customer_shopid": f"c{n}", "channel": "sms"} for n in range(9)])
    assert desk.run("publish", "export.csv", "--campaign", "spring").returncode == 0
    publish_from_a_program(desk, "c9")
    wait_until(lambda: len(collector.named("result")) == 10, 30, "the results")
    published = {span.span_id: span.began for span in collector.named("publish")}
    waits = collector.named("wait")
    assert len(published) == len(waits) == 10
    assert [shown([span]) for span in waits if span.began < published[span.parent]] == []


def test_a_call_that_is_repeated(desk: Desk, collector: Collector) -> None:
    """After a 503 the job goes through a delay queue; its second call is in the same trace."""
    begin(desk, collector)
    publish_from_a_program(desk, "fail503x1+c1")
    wait_until(lambda: collector.named("result"), 30, "the result")
    spans = collector.spans
    names = ["checkout", "publish", "wait", "admit", "call", "wait", "admit", "call", "result"]
    assert [span.name for span in spans] == names
    assert len({span.trace_id for span in spans}) == 1
    first, second = collector.named("call")
    assert (first.failed, first.attributes["error.type"]) == (True, "503")
    assert (second.failed, second.attributes["http.response.status_code"]) == (False, 200)
    assert exemplars(desk) == {("false", spans[0].trace_id), ("true", spans[0].trace_id)}
    assert [span.attributes["referral.attempt"] for span in collector.named("admit")] == [1, 2]
    assert {span.parent for span in spans[2:]} == {spans[1].span_id}


def test_a_run_in_one_process(desk: Desk, collector: Collector) -> None:
    """It has the same spans but `publish`, which nobody does there; the last are out when the command has ended."""
    desk.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    sandbox = desk.start_sandbox("--shops", "shops.toml")
    desk.write_shops(sandbox.url, ["acme"])
    desk.write_export("export.csv", [{"customer_shopid": "fail503x1+c1", "channel": "sms"}])
    ran = desk.run("run", "export.csv", "--shop", "acme", "--campaign", "spring", "--out", "results.csv")
    assert ran.returncode == 0, ran.stderr
    spans = collector.spans
    print(f"\ntrace {spans[0].trace_id}\n{shown(spans)}")
    assert [span.name for span in spans] == ["wait", "admit", "call", "wait", "admit", "call", "result"]
    wait, *others, result = spans
    assert {span.trace_id for span in spans} == {wait.trace_id}
    assert (wait.parent, {span.parent for span in [*others, result]}) == ("", {wait.span_id})
    assert {span.attributes.get("messaging.system", "in_process") for span in spans} == {"in_process"}
    assert result.attributes["messaging.destination.name"] == "journal"
    assert result.attributes["referral.outcome"] == "sent"
    assert {span.service for span in spans} == {"referral-dispatch"}
    assert not re.search("c1'|spring", str(spans))


@pytest.mark.parametrize("installed", [True, False], ids=["traced", "carried alone"])
def test_a_producer_s_header(desk: Desk, vhost: Vhost, collector: Collector, *, installed: bool) -> None:
    """Its trace goes on to the result through a delay, whether spans are made of it or not."""
    begin(desk, collector if installed else None)
    headers = {"traceparent": PARENT, "tracestate": "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"}
    publish_by_hand(vhost, made_job(desk, "fail503x1+c1"), headers)
    (properties,) = wait_until(lambda: results(vhost), 30, "the result")
    assert properties.headers["tracestate"] == headers["tracestate"]
    if not installed:
        assert properties.headers["traceparent"] == PARENT
        return
    wait_until(lambda: collector.named("result"), 30, "the spans")
    assert {(span.trace_id, span.parent) for span in collector.spans} == {(TRACE_ID, "b7ad6b7169203331")}
    assert properties.headers["traceparent"] == f"00-{TRACE_ID}-{collector.named('result')[0].span_id}-01"


def test_hostile_headers(desk: Desk, vhost: Vhost, collector: Collector) -> None:
    """They are ignored: the worker begins a trace with the job's first wait, which holds through a delay."""
    claims = [None, "", f"00-{'0' * 32}-b7ad6b7169203331-01", f"{PARENT}-{'x' * 50_000}", 7, {"a": "b"}, b"\xff\xfe"]
    begin(desk, collector)
    for number, claim in enumerate(claims):
        job = made_job(desk, f"fail503x1+c{number}")
        publish_by_hand(vhost, job, {} if claim is None else {"traceparent": claim})
    wait_until(lambda: len(collector.named("result")) == len(claims), 30, "the results")
    traces = {span.trace_id for span in collector.spans}
    assert len(traces) == len(claims)
    assert TRACE_ID not in traces
    for trace in traces:
        spans = [span for span in collector.spans if span.trace_id == trace]
        assert [span.name for span in spans] == ["wait", "admit", "call", "wait", "admit", "call", "result"]
        assert spans[0].parent == ""
        assert {span.parent for span in spans[1:]} == {spans[0].span_id}


def test_who_is_not_sampled(desk: Desk, vhost: Vhost, collector: Collector) -> None:
    """A producer's decision against spans holds here, and is carried on."""
    begin(desk, collector)
    publish_by_hand(vhost, made_job(desk, "c1"), {"traceparent": PARENT.removesuffix("01") + "00"})
    publish_by_hand(vhost, made_job(desk, "c2"), {"traceparent": PARENT})
    wait_until(lambda: collector.named("result"), 30, "the result of the other")
    assert len(collector.spans) == 4


def test_a_collector_that_hangs(desk: Desk) -> None:
    """Jobs are called as ever, and the worker ends soon after it is told to."""
    with Collector(hangs=True) as collector:
        # An export waits for ten minutes, so that only our own bound ends the worker.
        patient = {"OTEL_EXPORTER_OTLP_TIMEOUT": "600"}
        begin(desk, collector, OTEL_BSP_MAX_QUEUE_SIZE="8", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="4", **patient)
        desk.write_export(
            "export.csv", [{"shop": "acme", "customer_shopid": f"c{n}", "channel": "sms"} for n in range(50)]
        )
        # The command has spans of its own to export, and ends all the same.
        assert desk.run("publish", "export.csv", "--campaign", "spring", "--json").returncode == 0
        desk.start("collect", "--out", "results.csv")
        wait_until(lambda: len(desk.results()) == 50, 60, "the results")
        assert {row["outcome"] for row in desk.results()} == {"sent"}
        assert collector.requests
        (work,) = [process for process in desk.processes if "work" in process.log.name]
        work.signal(signal.SIGTERM)
        # The library's own end would take 30 s and more.
        assert work.wait(20) == 0


def test_nothing_is_imported_unasked(desk: Desk) -> None:
    """Without the variables a worker doesn't load OpenTelemetry, though it is installed."""
    code = (
        "import sys; from worker.app import build_worker; from worker import settings; build_worker(settings.load());"
        "print([name for name in sys.modules if name.split('.')[0] == 'opentelemetry'])"
    )
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    for asked, loaded in (
        ({}, False),
        ({"OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
    ):
        ran = subprocess.run(
            [sys.executable, "-c", code],
            env=desk.env | asked,
            cwd=desk.folder,
            capture_output=True,
            check=True,
            timeout=60,
        )
        assert (ran.stdout.strip() != b"[]") is loaded
