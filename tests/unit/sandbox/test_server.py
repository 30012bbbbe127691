"""Starting, stopping and the record of calls."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests

from worker.clock import ManualClock
from worker.errors import ConfigurationError, InputError, UsageError
from worker.instants import SECOND
from worker.sandbox.config import SANDBOX_KEY_ID, SANDBOX_SECRET, SandboxConfig, make_limits
from worker.sandbox.server import RunningSandbox

NOW = 1_900_000_000 * SECOND
BODY = {"customer": {"email": "jane@example.com"}, "channel": "sms"}


def refer(url: str, body: object = BODY, shop: str = "acme", timeout: float = 10) -> requests.Response:
    bearer = jwt.encode({"aud": "BH", "sub": shop}, SANDBOX_SECRET, "HS256", headers={"kid": SANDBOX_KEY_ID})
    return requests.post(
        f"{url}/api/v2023061/{shop}/Refer2",
        json=body,
        headers={"Authorization": f"Bearer {bearer}"},
        timeout=timeout,
    )


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_each_call_is_recorded_as_it_came() -> None:
    """The record has the time, customer, body and answer of each call."""
    clock = ManualClock(NOW)
    with RunningSandbox(SandboxConfig(), clock) as sandbox:
        refer(sandbox.url)
        clock.advance(SECOND)
        refer(sandbox.url, {"channel": "sms"}, "other")
        requests.post(f"{sandbox.url}/api/v1/acme/Refer2", timeout=10)
        first, second, third = sandbox.calls()
    assert (first.number, first.arrived_at, first.shop, first.version) == (1, NOW, "acme", "v2023061")
    assert (first.key_id, first.subject, first.body) == (SANDBOX_KEY_ID, "acme", BODY)
    assert (first.status, first.code, first.delayed_seconds) == (200, "ok", 0)
    assert (second.number, second.arrived_at) == (2, NOW + SECOND)
    assert (second.shop, second.status, second.code) == ("other", 400, "missing_customer_identity")
    assert (third.key_id, third.body, third.status, third.code) == (None, None, 401, "invalid_token")


@pytest.mark.parametrize(
    ("host", "reached"), [("::", ["127.0.0.1", "[::1]"]), ("::1", ["[::1]"]), ("[::1]", ["[::1]"])]
)
def test_addresses_of_ipv6(host: str, reached: list[str]) -> None:
    """All addresses are those of IPv4 too; brackets are the URL's."""
    with RunningSandbox(host=host) as sandbox:
        port = sandbox.url.rpartition(":")[2]
        assert [refer(f"http://{each}:{port}").status_code for each in reached] == [200] * len(reached)


def test_a_call_in_a_log_line_shows_no_address() -> None:
    """The repr of a recorded call leaves the customer out."""
    with RunningSandbox() as sandbox:
        refer(sandbox.url)
        assert "jane" not in repr(sandbox.calls())


def test_only_the_latest_calls_are_kept_but_all_are_counted() -> None:
    """Memory is bounded; the summary is not affected by it."""
    with RunningSandbox(SandboxConfig(limits=None, keep_calls=2)) as sandbox:
        for number in range(5):
            refer(sandbox.url, BODY if number else {})
        numbers = [call.number for call in sandbox.calls()]
        summary = sandbox.summary()
    assert numbers == [4, 5]
    assert summary == {"acme": {"missing_customer_identity": 1, "ok": 4}}


def test_the_record_is_served_and_written(tmp_path: Path) -> None:
    """Calls are shown as lines of JSON over HTTP and in the log file, which is appended to; counts over HTTP."""
    log = tmp_path / "calls.jsonl"
    config = SandboxConfig(limits=None, log=log)
    for _ in range(2):
        with RunningSandbox(config, ManualClock(NOW)) as sandbox:
            refer(sandbox.url)
            refer(sandbox.url, {"customer": {"email": "\ud800"}, "channel": "sms"})
            served = requests.get(f"{sandbox.url}/_sandbox/calls", timeout=10).text
            summary = requests.get(f"{sandbox.url}/_sandbox/summary", timeout=10).json()
            assert log.read_text().endswith(served)
    lines: list[dict[str, Any]] = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["number"] for line in lines] == [1, 2, 1, 2]
    assert lines[0]["body"] == BODY
    assert summary == {"calls": 2, "in_progress": 0, "shops": {"acme": {"ok": 2}}, "lists": {}}


def test_a_log_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    """The start fails with the folder that is missing."""
    with pytest.raises(InputError, match=r"missing: there is no such folder for calls\.jsonl"):
        RunningSandbox(SandboxConfig(log=tmp_path / "missing" / "calls.jsonl"))


def test_a_taken_port_is_one_clear_line() -> None:
    """The start fails with the port and the remedy, and so it does for a port that can't be."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} is in use; choose another with --port"):
            RunningSandbox(port=port)
    with pytest.raises(UsageError, match="not a port"):
        RunningSandbox(port=65_536)


def test_a_short_secret_is_refused() -> None:
    """A secret too short for HS256 is named by shop and key, not shown."""
    with pytest.raises(ConfigurationError, match="'acme', key 'k1'") as caught:
        SandboxConfig(shops={"acme": {"k1": "tiny"}})
    assert "tiny" not in str(caught.value)


def test_closing_cuts_a_call_that_is_never_answered() -> None:
    """A silent call doesn't keep the sandbox open, and its caller learns of the end."""
    with RunningSandbox() as sandbox, ThreadPoolExecutor() as pool:
        caller = pool.submit(refer, sandbox.url, {"customer": {"shopid": "timeout+1"}, "channel": "sms"})
        wait_until(lambda: bool(sandbox.calls()))
        sandbox.close()
        with pytest.raises(requests.ConnectionError):
            caller.result()


def test_closing_refuses_a_call_that_is_held_back() -> None:
    """A call that would be held for long is answered 503 at once when the sandbox stops: nothing was done."""
    config = SandboxConfig(limits=make_limits(customer_per_second=0.01), max_delay=600 * SECOND)
    with RunningSandbox(config, ManualClock(NOW)) as sandbox, ThreadPoolExecutor() as pool:
        refer(sandbox.url)
        caller = pool.submit(refer, sandbox.url)
        summary = f"{sandbox.url}/_sandbox/summary"
        wait_until(lambda: requests.get(summary, timeout=10).json()["in_progress"] == 1)
        sandbox.close()
        assert caller.result().json()["id"] == "sandbox_stopping"


def test_a_caller_that_gives_up_while_it_is_held_back_is_recorded() -> None:
    """A call abandoned by its caller is in the record, and no referral came of it."""
    config = SandboxConfig(limits=make_limits(customer_per_second=0.01), max_delay=600 * SECOND)
    with RunningSandbox(config, ManualClock(NOW)) as sandbox:
        refer(sandbox.url)
        with pytest.raises(requests.ReadTimeout):
            refer(sandbox.url, timeout=0.2)
        wait_until(lambda: len(sandbox.calls()) == 2)
        assert (sandbox.calls()[1].status, sandbox.calls()[1].code) == (None, "abandoned")


def test_closing_while_callers_connect_leaves_nothing_behind() -> None:
    """A caller that connects while the sandbox stops is answered or refused, but never left waiting."""
    for _ in range(20):
        with ThreadPoolExecutor() as pool, RunningSandbox(SandboxConfig(limits=None)) as sandbox:
            callers = [pool.submit(refer, sandbox.url) for _ in range(4)]
            sandbox.close()
            for caller in callers:
                assert isinstance(caller.exception(), requests.ConnectionError | None)


def test_closing_twice_is_fine() -> None:
    """Once closed, the sandbox refuses connections; closing it again does nothing."""
    sandbox = RunningSandbox()
    sandbox.close()
    sandbox.close()
    with pytest.raises(requests.ConnectionError):
        refer(sandbox.url)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_prints_its_url_and_stops_at_a_signal(number: signal.Signals) -> None:
    """As a program it says where it listens in one line and ends cleanly."""
    program = "from worker.sandbox.server import SandboxConfig, serve; serve(SandboxConfig(), '127.0.0.1', 0)"
    # Not by `-X dev`: asyncio then writes a line about each step that takes 0.1 s, as any does on a busy machine.
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.split()[-1]
        assert refer(url).status_code == 200
        process.send_signal(number)
        rest, errors = process.communicate(timeout=10)
    assert (process.returncode, rest, errors) == (0, "", "")
