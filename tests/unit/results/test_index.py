"""Results of jobs met before."""

import pytest

from worker.model.outcomes import OUTCOMES, UNCALLED
from worker.results.index import ResultIndex

ONE, TWO = "0" * 31 + "1", "0" * 31 + "2"


@pytest.mark.parametrize("first", OUTCOMES)
@pytest.mark.parametrize("second", OUTCOMES)
def test_results_of_one_job(first: str, second: str) -> None:
    """Only a job that ended without a call has a second result that counts, and only if that is from a call."""
    with ResultIndex() as index:
        assert index.check(ONE, first) == "new"
        supersedes = first in UNCALLED and second not in UNCALLED
        assert index.check(ONE, second) == ("superseding" if supersedes else "repeated")
        assert index.check(ONE, "expired") == "repeated"
        assert index.check(TWO, second) == "new"
