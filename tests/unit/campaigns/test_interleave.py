"""The order of a campaign, by its properties."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from worker.campaigns.interleave import WINDOW, ShopCustomer, interleave

Row = tuple[str, str, int]

ROWS = st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from("uvwxyz")), max_size=60).map(
    lambda pairs: [(shop, customer, index) for index, (shop, customer) in enumerate(pairs)]
)


def who(row: Row) -> ShopCustomer:
    return row[:2]


def interleaved(rows: Iterable[Row], window: int = WINDOW) -> Iterator[Row]:
    return interleave(((who(row), row) for row in rows), window)


def neighbours(rows: list[Row]) -> int:
    return sum(who(one) == who(other) for one, other in pairwise(rows))


@given(rows=ROWS, window=st.integers(1, 70))
def test_permutes_each_window(rows: list[Row], window: int) -> None:
    """Every window holds the same rows as before, and the order is the same each time."""
    result = list(interleaved(rows, window))
    assert result == list(interleaved(rows, window))
    for start in range(0, len(rows), window):
        assert sorted(result[start : start + window]) == sorted(rows[start : start + window])


@given(rows=ROWS)
def test_no_neighbours_where_avoidable(rows: list[Row]) -> None:
    """No customer's rows follow each other unless it has more than half of them."""
    result = list(interleaved(rows))
    most = max(Counter(map(who, rows)).values(), default=0)
    if most <= (len(rows) + 1) // 2:
        assert neighbours(result) == 0


@given(counts=st.lists(st.integers(1, 20), min_size=1, max_size=12))
def test_keeps_a_customers_own_order(counts: list[int]) -> None:
    """A customer's rows stay in the order of the export."""
    rows = [("A", str(customer), turn) for customer, count in enumerate(counts) for turn in range(count)]
    result = list(interleaved(rows))
    for customer, count in enumerate(counts):
        assert [turn for _, name, turn in result if name == str(customer)] == list(range(count))


def test_wall_of_one_customer() -> None:
    """300 rows of one customer ahead of 2,700 others lie nearly evenly among them."""
    rows = [("A", "wall", n) for n in range(300)] + [("A", f"c{n}", n) for n in range(2700)]
    places = [index for index, row in enumerate(interleaved(rows)) if row[1] == "wall"]
    gaps = Counter(later - earlier for earlier, later in pairwise(places))
    assert set(gaps) <= {9, 10, 11}
    assert places[0] < 10


def test_shops_take_turns() -> None:
    """An export sorted by shop goes out with the shops mixed in proportion to their rows."""
    rows = [(shop, f"c{n}", n) for shop, count in (("A", 60), ("B", 30), ("C", 10)) for n in range(count)]
    result = list(interleaved(rows))
    for start in range(0, 100, 20):
        counts = Counter(shop for shop, _, _ in result[start : start + 20])
        assert abs(counts["A"] - 12) <= 1
        assert abs(counts["B"] - 6) <= 1
        assert counts["C"] == 2


def test_single_rows_keep_their_place() -> None:
    """With one row a customer and one shop there is nothing to do."""
    rows = [("A", f"c{n}", n) for n in range(1000)]
    assert list(interleaved(rows)) == rows


def test_streams_by_window() -> None:
    """No more than one window is read ahead."""
    taken = 0

    def source() -> Iterator[Row]:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield "A", str(number), number

    next(interleaved(source(), 10))
    assert taken == 10
