"""Everything about one person, whatever a campaign knows of them."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.unit.making import make_result
from worker.model.job import Customer
from worker.results.lookup import MOST_IDS, look_up
from worker.results.wanted import Wanted


class Kept:
    """A source of results in memory."""

    def __init__(self, *results: Mapping[str, Any]) -> None:
        self._results = results

    def results(self, campaign: str | None = None, shop: str | None = None) -> Iterator[Mapping[str, Any]]:
        del campaign, shop
        yield from self._results

    def find(self, what: Wanted) -> Iterator[Mapping[str, Any]]:
        yield from filter(what.matches, self._results)

    def close(self) -> None: ...


def at(minute: int, customer: Customer, number: int = 1, **fields: Any) -> dict[str, Any]:
    """A result of a minute, whose line is that minute."""
    ended = f"2026-11-02T12:{minute:02}:00{'Z' if minute % 2 else '.5+00:00'}"
    return make_result(number, customer=customer, line=minute, finished_at=ended, **fields)


BOTH, BY_EMAIL, BY_ID = (
    Customer(email="ann@example.com", shopid="7"),
    Customer(email="Ann@Example.com"),
    Customer(shopid="7"),
)
HERS = [
    at(3, BY_ID, campaign="fall", referral={"link": "https://shop.example.com/r/3"}),
    at(1, BOTH, 2),
    at(2, BY_EMAIL, run=1, channel="email", destination="bob@example.com", reference="vip"),
]
OTHERS = [
    at(4, BY_ID, shop="zenith"),
    at(5, Customer(shopid="8"), reference="vip"),
    at(6, Customer(email="eve@example.com")),
]
SOURCE = Kept(*OTHERS, *HERS)


def lines(what: str, **options: Any) -> tuple[list[int], int]:
    """The lines of what is found, and how many there are."""
    found = look_up(SOURCE, Wanted.parse(what), **{"limit": 10, **options})
    return [result["line"] for result in found.results], found.total


@pytest.mark.parametrize("what", ["ann@example.com", HERS[1]["job_id"]])
def test_other_ids_are_followed(what: str) -> None:
    """An address or a job id finds the campaign that knows the customer by the shopid, in the order of time."""
    assert lines(what) == ([1, 2, 3], 3)


def test_an_id_is_followed_within_its_shop() -> None:
    """Another shop's customer of the same number is found by the number alone, and not by what leads to it."""
    assert lines("7") == ([1, 2, 3, 4], 4)
    assert lines("https://shop.example.com/r/3") == ([1, 3], 2)


@pytest.mark.parametrize(("what", "found"), [("vip", [2, 5]), ("bob@example.com", [2])])
def test_what_names_no_customer_is_not_followed(what: str, found: list[int]) -> None:
    """A reference may stand for many, and whom a customer wrote to is somebody else."""
    assert lines(what) == (found, len(found))


def test_the_newest_are_kept() -> None:
    """All are counted, and memory is bounded."""
    assert lines("ann@example.com", limit=2) == ([2, 3], 3)


def test_campaign_and_shop_narrow_what_is_found() -> None:
    """And not what leads to it."""
    assert lines("ann@example.com", campaign=" fall") == ([3], 1)
    assert lines("7", shop="zenith") == ([4], 1)


def test_more_ids_than_are_followed() -> None:
    """An address that a team shares leads to so many customers, and it is told that there may be more."""
    shared = [at(7, Customer(email="team@example.com", shopid=f"s{number}"), number) for number in range(MOST_IDS)]
    for count, every in ((MOST_IDS - 1, True), (MOST_IDS, False)):
        found = look_up(Kept(*shared[:count]), Wanted.parse("team@example.com"), limit=1)
        assert (found.total, found.every_id) == (count, every)
