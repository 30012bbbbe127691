"""A shops file that promises more than the provider allows, judged by the sandbox's own limits."""

import signal

import pytest

from tests.services import wait_until
from tests.system.commands import Desk

ALLOWED = 5
CONFIGURED = 7.5
FIRST_FALL = 0.8
"""How far to fall is measured from the second refusal on; how close that comes is for longer runs to show."""

BURST = 40
"""The sandbox lets through a second's worth and holds back five more before it refuses a call. A burst beyond that is
refused whatever the machine's speed, and again after the block that a refusal brings."""

JOBS = 120


def test_the_pace_gives_way_to_the_provider(desk: Desk) -> None:
    """The worker's pace falls where the provider refuses it; every job ends sent, called to the end once."""
    desk.write_export(
        "campaign.csv",
        [{"customer_email": f"c{number}@example.com", "channel": "whatsapp"} for number in range(JOBS)],
    )
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    sandbox = desk.start_sandbox("--shops", "shops.toml", "--per-second", str(ALLOWED))
    desk.write_shops(sandbox.url, ["acme"], per_second=CONFIGURED, burst=BURST, max_in_flight=BURST)
    published = desk.run("publish", "campaign.csv", "--shop", "acme", "--campaign", "spring")
    assert published.returncode == 0, published.stderr

    collect = desk.start("collect", "--out", "results.csv")
    work = desk.start("work", "--threads", str(BURST), REFERRALS_PREFETCH=str(BURST))
    wait_until(lambda: sandbox.summary()["calls"] > 0, 30, "the first call")
    assert desk.metrics()["referral_rate_calls_per_second", "acme"] == pytest.approx(CONFIGURED, rel=0.001)
    wait_until(lambda: effective_rate(desk) < CONFIGURED * (FIRST_FALL + 0.05), 60, "the pace to fall")
    wait_until(lambda: len(desk.results()) >= JOBS, 60, "every job's result")
    counted = desk.metrics()
    work.signal(signal.SIGTERM)
    collect.signal(signal.SIGTERM)
    assert (work.wait(), collect.wait()) == (0, 0), work.stderr

    results = desk.results()
    assert len({result["job_id"] for result in results}) == len(results) == JOBS
    assert {result["outcome"] for result in results} == {"sent"}
    codes = [call["code"] for call in sandbox.calls()]
    assert codes.count("ok") == JOBS
    assert codes.count("rate_limit_exceeded") == len(codes) - JOBS > 0
    assert counted["refer2_responses_total", "acme", "rate_limit_exceeded"] == len(codes) - JOBS


def effective_rate(desk: Desk) -> float:
    """The shop's calls a second at present, as the worker shows it."""
    return desk.metrics()["referral_effective_rate_calls_per_second", "acme"]
