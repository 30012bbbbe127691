"""``--window`` beside the hours of the shop."""

import pytest

from tests.unit.making import make_shop
from worker.campaigns.options import ImportOptions
from worker.cli.shop_hours import check_window
from worker.errors import UsageError


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
