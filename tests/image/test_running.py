"""The image's containers: read-only, without a right, as its own user and as one that OpenShift picks."""

import signal
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from tests.deployment.rendered import containers, overlay
from tests.image.conftest import Host
from tests.services import wait_until
from tests.system.commands import Process


def arguments(name: str) -> list[str]:
    """What the manifests start a container with."""
    found: list[list[str]] = [each["args"] for _, each in containers(overlay("production")) if each["name"] == name]
    (only,) = found
    return only


def subscribed(worker: Process) -> bool:
    """Whether it consumes; fails with its log where it has ended."""
    assert worker.running(), worker.stderr
    return "subscribed" in worker.stderr


def end(container: Process) -> int:
    """Send SIGTERM to process one, as an engine does; the container's exit code."""
    (inside,) = psutil.Process(container.pid).children()
    inside.send_signal(signal.SIGTERM)
    return container.wait(60)


def probe(host: Host, path: str) -> int:
    """The status of a probe."""
    url = f"http://127.0.0.1:{host.desk.env['REFERRALS_METRICS_PORT']}{path}"
    try:
        with urllib.request.urlopen(url, timeout=5) as page:
            return int(page.status)
    except urllib.error.HTTPError as refused:
        refused.close()
        return refused.code


def test_a_campaign_goes_through_its_containers(host: Host) -> None:
    """Published, called and collected by the manifests' own commands, with the probes asked, up to a clean end."""
    desk, (home, shops, metrics) = host.desk, host.folders
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    sandbox = desk.start_sandbox("--shops", "shops.toml")
    desk.write_shops(sandbox.url, ["acme"])
    for name in ("shops.toml", "secrets"):
        (desk.folder / name).rename(shops / name)
    (home / "exports").mkdir()
    desk.write_export("home/exports/spring.csv", [{"customer_email": f"c{n}@example.com"} for n in range(20)])
    left = metrics / "referral-metrics-1-4711-killed"
    left.mkdir()
    (left / "counter_1.db").write_bytes(b"left by a container that was killed")

    worker = host.start("worker", *arguments("worker"))
    wait_until(lambda: subscribed(worker), 60, "the worker to subscribe")
    assert not left.exists()
    assert probe(host, "/livez") == 200
    wait_until(lambda: probe(host, "/readyz") == 200, 30, "the worker to be ready")
    publisher = host.start("publish", *arguments("publish"))
    assert publisher.wait(60) == 0, publisher.stderr
    collector = host.start("collect", *arguments("collect"))
    collected: Path = home / "results.csv"
    wait_until(lambda: len(desk.results(str(collected))) == 20 or not collector.running(), 60, "the results")
    wait_until(lambda: desk.metrics()["refer2_responses_total", "acme", "ok"] == 20, 30, "its count")
    assert len(sandbox.calls()) == 20
    assert end(collector) == 0, collector.stderr
    assert end(worker) == 0, worker.stderr
    assert list(metrics.iterdir()) == []
    for container in (worker, publisher, collector):
        assert "Read-only file system" not in container.stderr
        assert "Permission denied" not in container.stderr


def test_an_operator_s_command_runs_in_it(host: Host) -> None:
    """A user whom no file names can give an order, which notes who gave it."""
    host.desk.write_shops("http://127.0.0.1:9", ["acme"])
    for name in ("shops.toml", "secrets"):
        (host.desk.folder / name).rename(host.folders[1] / name)
    for number, line in enumerate((["shops", "pause", "acme", "--reason", "trial"], ["log"])):
        command = host.start(f"command-{number}", *line)
        assert command.wait(60) == 0, command.stderr
    assert "trial" in command.stdout


def test_its_help_and_version_run(host: Host) -> None:
    """Every container's command is there."""
    for name in ("work", "publish", "collect", "sandbox", "status"):
        shown = host.start(name, name, "--help")
        assert shown.wait(60) == 0, shown.stderr
        assert name in shown.stdout
