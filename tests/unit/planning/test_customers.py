"""How many jobs each customer has."""

from worker.planning.customers import CustomerCounts


def test_customers_above_a_number_are_found_by_shop_the_largest_first() -> None:
    """A customer of the same name in another shop is another customer, and one with just the number is not above it."""
    counts = CustomerCounts()
    for shop, customer, jobs in [("a", "x", 5), ("a", "y", 3), ("a", "z", 2), ("b", "x", 4)]:
        for _ in range(jobs):
            counts.add(shop, customer)
    assert counts.above({"a": 2, "b": 2}) == {"a": [5, 3], "b": [4]}
