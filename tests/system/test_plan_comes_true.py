"""What a plan says of the time that a campaign takes is what it then takes."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.services import RabbitMQ, Vhost, wait_until
from tests.system.commands import Desk, Process, Sandbox

LIMITS: dict[str, dict[str, float]] = {
    "steady": {"per_second": 15, "burst": 3},
    "slow": {"per_second": 6, "burst": 6},
    "beside": {"per_second": 10, "burst": 2},
    "keen": {"per_second": 50, "burst": 10, "customer_per_second": 2},
    "queued": {"per_second": 24, "burst": 3},
}
"""Shops whose campaigns are bound by the shop's rate, by one shop of two, by one customer, and by a queue ahead."""

CLOSE = 0.05

STALL = 2.0
"""Seconds for which a busy machine may hold a run back. How close plans are without that is held by the tests of the
forecast, against simulations of each job.
"""


def rows_of(shop: str, jobs: int, of_one: int = 0) -> list[dict[str, str]]:
    """Rows of so many customers; one of them has several jobs, with a channel of its own each."""
    rows = [{"customer_email": f"c{number}@example.com", "channel": "sms"} for number in range(jobs - of_one)]
    rows += [{"customer_email": "keen@example.com", "channel": f"custom-{number}"} for number in range(of_one)]
    return [{"shop": shop, **row} for row in rows]


CAMPAIGNS: dict[str, list[dict[str, str]]] = {
    "one shop": rows_of("steady", 300),
    "two shops": rows_of("slow", 126) + rows_of("beside", 100),
    "one customer": rows_of("keen", 100, of_one=44),
}


@pytest.fixture
def sandbox(desk: Desk) -> Sandbox:
    """A sandbox without limits of its own, and the shops file."""
    made = desk.start_sandbox("--no-limits")
    lines = ["[defaults]", f'base_url = "{made.url}"', 'key_id = "sandbox"', 'secret_file = "sandbox.key"']
    for slug, table in LIMITS.items():
        lines += [f"[shops.{slug}]", *(f"{name} = {value}" for name, value in table.items())]
    (desk.folder / "sandbox.key").write_text("sandbox-secret-that-protects-nothing-0123456789")
    (desk.folder / "shops.toml").write_text("\n".join(lines) + "\n")
    return made


def planned(desk: Desk, export: str, campaign: str) -> float:
    """Seconds until the last shop is done, as a plan says."""
    done = desk.run("plan", export, "--campaign", campaign, "--json")
    assert done.returncode == 0, done.stderr
    return float(max(shop["seconds"] for shop in json.loads(done.stdout)["shops"].values()))


def assert_close(plan: float, took: float) -> None:
    """A plan may be 5 % off and a second, to which it is rounded; a run may be held back besides."""
    assert took * (1 - CLOSE) - 1 - STALL <= plan <= took * (1 + CLOSE) + 1, f"planned {plan} s, took {took} s"


def test_a_run_takes_as_long_as_planned(desk: Desk, sandbox: Sandbox) -> None:
    """Within 5 % and the second to which a plan is rounded: by rate, with several shops, and by one customer.

    One of more jobs than are left today goes on when the quota is reset, at the instant that its plan says.
    """
    del desk.env["REFERRALS_AMQP_URL"]
    # All of them run at the same time, since each of them mostly waits; that one for a full minute.
    end, daily = start_daily(desk)
    plans: dict[str, float] = {}
    runs: dict[str, Process] = {}
    for number, (name, rows) in enumerate(CAMPAIGNS.items()):
        desk.write_export(f"{number}.csv", rows)
        plans[name] = planned(desk, f"{number}.csv", name)
    for number, name in enumerate(CAMPAIGNS):
        runs[name] = desk.start("run", f"{number}.csv", "--campaign", name, "--out", f"{number}.results.csv", "--json")
    for name, run in runs.items():
        assert run.wait(90) == 0, run.stderr
        took = json.loads(run.stdout)["seconds"]
        assert_close(plans[name], took)
    assert daily.wait(120) == 0, daily.stderr
    stamps = [call["arrived_at"] / 1e6 for call in sandbox.calls() if call["shop"] == "daily"]
    assert len(stamps) == 100
    # The instant counts, not the time: what is left for the next day begins at its reset, whenever the run began.
    after_reset = 4.0
    assert end == pytest.approx(max(stamps), abs=1 + CLOSE * after_reset + STALL)


def start_daily(desk: Desk) -> tuple[float, Process]:
    """A run whose shop may be called less often a day than it has jobs; when it would end by its plan, in Unix time."""
    # The next full minute that leaves enough time for today's calls.
    reset = (datetime.now(UTC) + timedelta(seconds=75)).strftime("%H:%M")
    with (desk.folder / "shops.toml").open("a") as file:
        file.write(f'[shops.daily]\nper_second = 10\nburst = 1\nper_day = 60\nday_resets_at = "{reset}"\n')
    desk.write_export("daily.csv", rows_of("daily", 100))
    done = desk.run("plan", "daily.csv", "--campaign", "daily", "--json")
    end = datetime.fromisoformat(json.loads(done.stdout)["shops"]["daily"]["done_at"]).timestamp()
    run = desk.start("run", "daily.csv", "--campaign", "daily", "--out", "daily.results.csv", "--wait", "--json")
    return end, run


def test_a_queue_ahead_is_counted(desk: Desk, sandbox: Sandbox, rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """A plan behind jobs that wait in RabbitMQ ends when a worker has done them and its own."""
    desk.write_export("ahead.csv", rows_of("queued", 150))
    desk.write_export("own.csv", rows_of("queued", 60, of_one=1))
    assert desk.run("publish", "ahead.csv", "--campaign", "earlier").returncode == 0
    wait_until(lambda: rabbitmq.depths(vhost).get("referrals.shop.queued") == 150, 20, "the queue ahead")
    plan = planned(desk, "own.csv", "later")
    assert desk.run("publish", "own.csv", "--campaign", "later").returncode == 0
    desk.start("work")
    wait_until(lambda: len(sandbox.calls()) == 210, 90, "all calls")
    stamps = [call["arrived_at"] / 1e6 for call in sandbox.calls()]
    assert_close(plan, max(stamps) - min(stamps))
