"""Which names may be meant by one that is unknown."""

from worker.text.near_names import near_names

CAMPAIGNS = ["autumn", "winter", "new year", "spring 2025", "spring 2026"]


def test_the_likest_come_first() -> None:
    """Wherever they stand."""
    assert near_names("sprung 2026", CAMPAIGNS, otherwise=3) == ["spring 2026", "spring 2025"]


def test_nothing_is_like_it() -> None:
    """Then the first ones show what names there are, if there are any."""
    assert near_names("x", iter(CAMPAIGNS), otherwise=3) == CAMPAIGNS[:3]
    assert near_names("x", [], otherwise=3) == []
