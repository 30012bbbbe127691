"""Whom a row's ids name, by a customer list of which only keyed hashes are kept."""

import gc
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.planning.customer_index import CustomerIndex
from worker.planning.matching import Matching

UNKNOWN = "no_customers_match_customer_identity"
MISMATCH = "customer_identity_partially_mismatches_matched_customer"

Row = tuple[str, str, str]


class Job(NamedTuple):
    bhid: str = ""
    shopid: str = ""
    email: str = ""
    shop: str = "acme"


class Lists:
    """Customer lists by shop, and which of them were read."""

    def __init__(self, bad_lines: int = 0, **shops: Sequence[Row]) -> None:
        self.read: list[str] = []
        self.bad_lines = bad_lines
        self._shops = shops

    def __call__(self, shop: str) -> "_List":
        self.read.append(shop)
        return _List(self._shops[shop], self.bad_lines)


class _List:
    def __init__(self, rows: Sequence[Row], bad_lines: int) -> None:
        self.bad_lines = bad_lines
        self._rows = rows

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)


ACME: list[Row] = [
    ("B1", "0007", "Jane@example.com"),
    ("B2", "8", "joe@example.com"),
    ("B3", "", "jane@example.com"),
    ("B4", "0", ""),
    ("B5", "0", "ann@example.com"),
]


@pytest.mark.parametrize(
    ("job", "code"),
    [
        (Job("B1"), "sent"),
        (Job(" B1 ", " 0007", " JANE@EXAMPLE.COM "), "sent"),
        (Job("B3", email="jane@example.com"), "sent"),
        (Job(shopid="0", email="ann@example.com"), "sent"),
        (Job("b1"), UNKNOWN),
        (Job(shopid="7"), UNKNOWN),
        (Job("0007", "B1"), UNKNOWN),
        (Job("B9", "9", "nobody@example.com"), UNKNOWN),
        (Job("B1", "8"), MISMATCH),
        (Job("B4", "0", "ann@example.com"), MISMATCH),
        (Job("B3", "0007", "jane@example.com"), MISMATCH),
        (Job("B2", "8", "nobody@example.com"), MISMATCH),
    ],
)
def test_all_ids_must_be_one_customers(job: Job, code: str) -> None:
    """Ids are compared by each character and within their kind, addresses without case."""
    assert Matching(Lists(acme=ACME)).predict(job) == code


def by_definition(rows: list[Row], job: Job) -> str:
    """The rule in its plainest form: each customer, by bhid, with all that is listed of them."""
    customers: dict[object, list[set[str]]] = {}
    for number, row in enumerate(rows):
        ids = customers.setdefault(row[0] or number, [set(), set(), set()])
        for of_kind, value in zip(ids, (row[0], row[1], row[2].lower()), strict=True):
            if value:
                of_kind.add(value)
    asked = [job.bhid, job.shopid, job.email.lower()]
    hits = [[value in ids for value, ids in zip(asked, one, strict=True) if value] for one in customers.values()]
    if any(all(one) for one in hits):
        return "sent"
    return MISMATCH if any(any(one) for one in hits) else UNKNOWN


few = st.sampled_from(["", "a", "b", "c"])
addresses = st.sampled_from(["", "a@x.org", "A@x.org", "b@x.org", "c@x.org"])
rows = st.lists(st.tuples(few, few, addresses).filter(any), max_size=12)
jobs = st.tuples(few, few, addresses).filter(any).map(lambda ids: Job(*ids))


@given(rows, st.lists(jobs, min_size=1, max_size=8))
def test_predictions_are_the_rules(listed: list[Row], asked: list[Job]) -> None:
    """For customers who are listed twice, without a bhid, or with others' ids and addresses, and in any order."""
    matching = Matching(Lists(acme=listed))
    assert [matching.predict(job) for job in asked] == [by_definition(listed, job) for job in asked]


def test_each_shops_list_is_read_once_and_only_if_needed() -> None:
    """Rows of several shops are mixed; a shop without a job is not asked for its list."""
    lists = Lists(acme=ACME, other=[("B1", "", "")], third=[])
    matching = Matching(lists)
    for shop in ("acme", "other", "acme", "other"):
        matching.add(Job("B2", shop=shop))
    assert matching.finish() == {"sent": 2, UNKNOWN: 2}
    assert lists.read == ["acme", "other"]
    assert matching.warnings == []


def test_what_makes_predictions_doubtful_is_said_once() -> None:
    """An empty list, lines that can't be read, and ids that the list doesn't show."""
    empty = Matching(Lists(acme=[]))
    flawed = Matching(Lists(bad_lines=2, acme=[("B1", "", "")]))
    almost = Matching(Lists(bad_lines=1, acme=[("B1", "7", "")]))
    for _ in range(2):
        almost.add(Job(shopid="7"))
        empty.add(Job(shopid="7"))
        flawed.add(Job(shopid="7"))
    assert empty.warnings == ["shop acme: its customer list is empty"]
    assert [text.partition(",")[0] for text in almost.warnings] == [
        "shop acme: 1 line of its customer list can't be read"
    ]
    assert [text.partition(",")[0] for text in flawed.warnings] == [
        "shop acme: 2 lines of its customer list can't be read",
        "shop acme: its customer list shows no shop ids",
    ]


def test_nothing_of_the_list_is_kept() -> None:
    """Neither ids nor addresses, after a question about them."""
    index = CustomerIndex()
    index.add("bhid-of-jane", "shopid-of-jane", "jane@example.com")
    assert index.match("bhid-of-jane", "", "jane@example.com") == "all"
    found: list[object] = [index]
    for held in found:
        found += [one for one in gc.get_referents(held) if isinstance(one, dict | list | tuple | str | bytes)]
    assert len(found) > 3
    assert not any(isinstance(held, str) and "jane" in held for held in found)


def test_an_id_that_many_share_is_looked_up_once() -> None:
    """Half of 60,000 customers have the shopid 0, the other half an address: 2,000 rows with both end in time."""
    shared = [(f"B{number}", "0", f"c{number}@example.com") for number in range(30_000)]
    shared += [(f"C{number}", f"{number + 1}", "shop@example.com") for number in range(30_000)]
    matching = Matching(Lists(acme=shared))
    for _ in range(2000):
        matching.add(Job(shopid="0", email="shop@example.com"))
    assert matching.finish() == {MISMATCH: 2000}
