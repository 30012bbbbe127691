"""``--window`` beside the hours of the shop."""

from datetime import UTC, datetime

import pytest

from tests.unit.making import NOON, make_job, make_shop
from worker.campaigns.options import ImportOptions
from worker.cli.shop_hours import Hours, check_window
from worker.errors import UsageError
from worker.instants import from_datetime
from worker.model.windows import MARGIN


def options(window: str | None, channel: str | None = "email") -> ImportOptions:
    return ImportOptions("acme", "spring", channel, window=window)


def test_hours_within_those_of_the_shop_are_taken(capsys: pytest.CaptureFixture[str]) -> None:
    check_window(options("Mon 10:00-11:00 UTC"), make_shop(window="Mon-Fri 09:00-18:00 Europe/Vienna"))
    check_window(options("Mon 10:00-11:00 UTC"), None)
    check_window(options(None), make_shop(window="Mon-Fri 09:00-18:00 Europe/Vienna"))
    assert capsys.readouterr().err == ""


def test_what_can_not_be_read_is_refused() -> None:
    with pytest.raises(UsageError, match="--window: needs ranges and a time zone"):
        check_window(options("Mon 10:00-11:00"), None)


def test_hours_that_the_shop_never_keeps_are_refused() -> None:
    with pytest.raises(UsageError, match=r"never open together with the window of acme \(Mon 09:00-18:00 UTC\)"):
        check_window(options("Tue 09:00-18:00 UTC"), make_shop(window="Mon 09:00-18:00 UTC"))


def test_a_channel_that_keeps_no_hours_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    check_window(options("Tue 09:00-18:00 UTC", "WhatsApp"), make_shop())
    told = " ".join(capsys.readouterr().err.split())
    assert "holds back no jobs of the channel whatsapp" in told
    assert "window_channels of acme in the shops file are email" in told


def test_jobs_outside_of_their_hours_are_counted() -> None:
    """With the earliest opening of any; a channel that keeps no hours, and hours that last, count for nothing."""
    shops = {
        "acme": make_shop(),
        "bolt": make_shop("bolt", window="Wed 09:00-18:00 UTC"),
        "corn": make_shop("corn", window="Mon 09:00-18:00 UTC"),
    }
    hours = Hours(shops)
    jobs = [
        make_job(number, shop=shop, channel="email", destination="bo@example.org")
        for number in range(3)
        for shop in shops
    ]
    jobs += [make_job(1, window="Tue 09:00-18:00 UTC")]
    assert list(hours.of(jobs)) == jobs
    assert hours.outside(NOON) == (3, from_datetime(datetime(2026, 11, 4, 9, tzinfo=UTC)) + MARGIN)
    list(hours.of([make_job(9, channel="email", destination="bo@example.org", window="Tue 09:00-18:00 UTC")]))
    assert hours.outside(NOON) == (4, from_datetime(datetime(2026, 11, 3, 9, tzinfo=UTC)) + MARGIN)


def test_jobs_within_their_hours_wait_for_nothing() -> None:
    hours = Hours({"acme": make_shop()})
    list(hours.of([make_job(1)]))
    assert hours.outside(NOON) == (0, 0)
