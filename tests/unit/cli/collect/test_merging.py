"""What `collect --merge` says of the results of other campaigns, which come from the same queue."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from worker.cli.collect.merging import MergeAfterwards
from worker.cli.merge_campaign import Asked


@pytest.mark.parametrize(
    ("campaigns", "told"),
    [
        ({}, None),
        ({"aa": 5}, None),
        ({"aa": 5, "cc": 2, "bb": 1_020}, (": 1,022 (bb", "(bb 1,020, cc 2)", "--campaign bb --from a.results.csv")),
        (
            {"it is": 4, "b": 3, "c": 2, "d": 1, "e": 1},
            (": 11 (", "('it is' 4, b 3, c 2 and 2 more)", "--campaign 'it is' --from"),
        ),
    ],
)
def test_results_of_other_campaigns(campaigns: Mapping[str, int], told: tuple[str, ...] | None) -> None:
    """They don't come again, so where they are is said, with the command for the largest."""
    note = _note("aa", campaigns)
    assert (note is None) == (told is None)
    for part in told or ():
        assert part in (note or "")


def test_nothing_is_said_without_a_campaign() -> None:
    """The merge itself then wants a name."""
    assert _note(None, {"aa": 1, "bb": 1}) is None


def _note(campaign: str | None, campaigns: Mapping[str, int]) -> str | None:
    asked = Asked(campaign, None, None, None, None, None, ignore_consent=False, encoding=None)
    return MergeAfterwards([], asked, None, Path("a.csv"), Path("a.results.csv")).others(campaigns)
