"""Job ids met and finished."""

import resource
from collections.abc import Iterator

import pytest

from worker.campaigns.dedup import JobIndex
from worker.errors import InputError

ONE, TWO = "0" * 31 + "1", "0" * 31 + "2"


@pytest.fixture
def no_room() -> Iterator[None]:
    """No file may grow beyond 1 MB, as on a full disk."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, most))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


def test_new_then_duplicate() -> None:
    """A job is new once and a duplicate from then on."""
    with JobIndex() as index:
        assert [index.check(job_id) for job_id in (ONE, TWO, ONE, ONE)] == ["new", "new", "duplicate", "duplicate"]


def test_finished_then_duplicate() -> None:
    """A job that an earlier run finished is reported so once; marking it again changes nothing."""
    with JobIndex() as index:
        index.mark_finished([ONE, ONE])
        index.mark_finished(iter([ONE]))
        assert [index.check(job_id) for job_id in (ONE, ONE, TWO)] == ["finished", "duplicate", "new"]


def test_many() -> None:
    """A hundred thousand ids keep apart."""
    with JobIndex() as index:
        ids = [f"{number * 2**100:032x}" for number in range(100_000)]
        index.mark_finished(ids[:50_000])
        assert {index.check(job_id) for job_id in ids[:50_000]} == {"finished"}
        assert {index.check(job_id) for job_id in ids[50_000:]} == {"new"}
        assert {index.check(job_id) for job_id in ids} == {"duplicate"}


@pytest.mark.usefixtures("no_room")
def test_beyond_a_few_megabytes_ids_go_to_a_file_that_needs_room() -> None:
    """Memory holds the ids of an ordinary export, and a file those of a large one; without room there is one line."""
    with JobIndex() as index:
        assert {index.check(f"{number * 2**100:032x}") for number in range(50_000)} == {"new"}
        with pytest.raises(InputError, match=r"can't be written .*; point TMPDIR to a writable folder with room"):
            index.mark_finished(f"{number * 2**100:032x}" for number in range(50_000, 400_000))


def test_no_id() -> None:
    """What is no job id is a mistake of the caller's."""
    with JobIndex() as index, pytest.raises(ValueError, match="non-hexadecimal"):
        index.check("xy")
