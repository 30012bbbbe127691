"""A shared store that goes away under working processes: nothing is called or lost, and all continues by itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services import Valkey, Vhost, wait_until
from tests.system.commands import Desk

JOBS = 60


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey of the test's own, to be killed."""
    with Valkey(tmp_path / "valkey") as made:
        yield made


def test_a_store_that_goes_away(desk: Desk, vhost: Vhost, own_valkey: Valkey) -> None:
    """While it is away the probe says so and no call is made; once it is back every job is done, none lost."""
    del vhost
    desk.env["REFERRALS_REDIS_URL"] = own_valkey.url
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    sandbox = desk.start_sandbox("--shops", "shops.toml")
    desk.write_shops(sandbox.url, ["acme"], per_second=20, burst=1)
    rows = [{"shop": "acme", "customer_email": f"c{n}@example.com", "channel": "sms"} for n in range(JOBS)]
    desk.write_export("export.csv", rows)
    worker = desk.start("work")
    wait_until(lambda: desk.readiness()[0] == 200 or not worker.running(), 30, "the worker to be ready")

    assert desk.run("publish", "export.csv", "--campaign", "spring").returncode == 0
    wait_until(lambda: len(sandbox.calls()) > JOBS // 10, 20, "the first calls")
    own_valkey.kill()
    wait_until(lambda: desk.readiness()[0] == 503, 20, "the worker to be unready")
    calls = len(sandbox.calls())
    assert calls < JOBS
    own_valkey.start()
    wait_until(lambda: desk.readiness()[0] == 200, 30, "the worker to be ready again")

    collected = desk.run("collect", "--out", "results.csv", "--until-idle", "3")
    assert collected.returncode == 0
    assert {row["outcome"] for row in desk.results()} == {"sent"}
    assert len(desk.results()) == JOBS
    assert worker.running()
