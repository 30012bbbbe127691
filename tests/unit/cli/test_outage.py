"""What a person reads while Refer2 fails, and what to do about a shop that was given up."""

import pytest

from worker.cli.outage import Outage, Rest, trouble_of
from worker.instants import SECOND


def test_an_outage_is_reported_once_for_each_pause() -> None:
    """It is one line with the seconds until the next try, whichever shop meets it, and none once that is over."""
    outage = Outage()
    assert outage.line(None, 0) is None
    lines = [outage.line(("connection", 19 * SECOND), now) for now in (1, 2)]
    assert lines == ["Refer2 is out of reach; next try in 19 s; Ctrl-C stops", None]
    assert outage.line(("connection", 20 * SECOND), 18 * SECOND) is None, "another shop's pause"
    assert outage.line(("connection", 20 * SECOND), 21 * SECOND) is None
    assert outage.line(("http_503", 31 * SECOND), 21 * SECOND) == (
        "Refer2 fails (http_503); next try in 10 s; Ctrl-C stops"
    )


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("connection", "check the network"),
        ("timeout", "wait until it works again"),
        ("http_503", "wait until it works again"),
        ("invalid_token", "fix its credential"),
        ("obsolete_global_api_version", "fix its api_version"),
        ("http_407", "put its user and password into REFERRALS_HTTP_PROXY"),
        ("http_404", "fix its base_url or its slug"),
        ("sandbox_shop_rule", "a rule of the shop"),
    ],
)
def test_a_code_has_its_remedy(code: str, remedy: str) -> None:
    """The line about a shop that was given up says what to fix: the network, the proxy, or the shops file."""
    assert remedy in trouble_of(code)


def test_a_long_rest_is_reported_once() -> None:
    """With its end, and how many wait for it; again only where another follows."""
    rest = Rest()
    night = 1_796_000_400 * SECOND
    assert rest.line(0, 0) is None
    line = rest.line(night, 1_234)
    assert line is not None
    assert line.startswith("nothing can be called before 2026-11-30 01:00 UTC: 1,234 rows wait for it; Ctrl-C stops")
    assert [rest.line(until, 1) for until in (night, night + SECOND, 0)] == [None, None, None]
    assert ": 1 row waits for it; " in str(rest.line(night + 86_400 * SECOND, 1))
    assert ": 10,000 rows wait for it, and what follows them; " in str(rest.line(night + 172_800 * SECOND, 10_000))
