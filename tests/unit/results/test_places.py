"""The best place of each job."""

from worker.results.places import Places

ONE, TWO = "0" * 31 + "1", "0" * 31 + "2"


def test_the_highest_rank_is_kept() -> None:
    """Of equal ranks the first one stays."""
    with Places() as places:
        for rank, place in [(1, 10), (1, 11), (0, 12), (3, 13), (2, 14)]:
            places.offer(ONE, rank, place)
        places.offer(TWO, 0, 2**62)
        assert places.get(ONE) == 13
        assert places.get("f" * 32) is None
        assert list(places.items()) == [(ONE, 13), (TWO, 2**62)]
        assert len(places) == 2
