"""The journal of an embedded run: what it survives, what it refuses, and what a store gets back from it."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.making import NOON, go, make_limits, make_request
from worker.clock import ManualClock
from worker.embedded.journal import Journal
from worker.embedded.restore import restore
from worker.errors import InputError, UsageError
from worker.instants import DAY, SECOND
from worker.limits.token_bucket import Rate
from worker.model.dispositions import Later
from worker.model.verdicts import Retry, Unknown
from worker.store.memory.store import MemoryStore
from worker.store.protocol import AdmitRequest, Grant, ShopClosed, Wait
from worker.text.bounds import LISTING, RESULT
from worker.text.visible import ascii_json

LIMITS = make_limits()


def body_of(number: int) -> str:
    """A result as it is journalled, cut down to what the journal itself needs."""
    return json.dumps({"job_id": f"{number:032x}", "outcome": "sent"})


def grant(at: int = NOON, *, attempts: int = 1, takeovers: int = 0) -> Grant:
    """A grant for a call at ``at``."""
    return Grant(epoch=1, start_at=at, start_by=at, attempts=attempts, takeovers=takeovers)


def restored(path: Path, request: AdmitRequest, *, now: int = NOON) -> MemoryStore:
    """A new store, restored from the journal at ``path``, with the limits of ``request`` for every job."""
    store = MemoryStore(ManualClock(now), retention=0)
    with Journal(path, "spring") as journal:
        restore(
            journal.lines(),
            store,
            lambda shop, customer, job_id: AdmitRequest(shop, customer, job_id, request.limits, lease=0),
        )
    return store


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond ``size`` bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.csv.journal"


def test_results_are_read_back_by_the_next_run(path: Path) -> None:
    """What one run finished, the next one knows, in the order it was finished."""
    with Journal(path, "spring") as journal:
        for number in (2, 1):
            journal.started(make_request(number), grant())
            journal.finished(body_of(number))
    with Journal(path, "spring") as journal:
        assert [result["job_id"] for result in journal.results()] == [f"{2:032x}", f"{1:032x}"]
        assert list(journal.finished_ids()) == [f"{2:032x}", f"{1:032x}"]


def test_the_largest_result_is_read_back(path: Path) -> None:
    """A result may be as large as any that is read, whatever the escapes of the file make of its characters."""
    texts = ["\x7f" * LISTING.text] * (RESULT.size // LISTING.text - 1)
    fields = {"job_id": f"{1:032x}", "outcome": "sent", "referral": {"more": texts}}
    body = json.dumps(fields, ensure_ascii=False)
    assert len(body) < RESULT.size < len(ascii_json(body))
    with Journal(path, "spring") as journal:
        journal.finished(body)
        journal.finished(body_of(2))
    with Journal(path, "spring") as journal:
        assert [result["job_id"] for result in journal.results()] == [f"{1:032x}", f"{2:032x}"]
        assert next(journal.results())["referral"] == {"more": texts}


def test_a_line_is_in_the_file_when_its_method_returns(path: Path) -> None:
    """Nothing waits in a buffer of the process: a kill right after the call loses no line."""
    with Journal(path, "spring") as journal:
        journal.started(make_request(1), grant())
        assert json.loads(path.read_bytes().splitlines()[-1])["event"] == "started"
        journal.finished(body_of(1))
        assert json.loads(path.read_bytes().splitlines()[-1])["result"]["outcome"] == "sent"


@pytest.mark.parametrize(
    "tail",
    [b'{"event":"resul', b'{"event":"result","result":{"job_id":"' + b"0" * 32 + b'"}}', b"\0" * 4096, b"{" * 200_000],
    ids=["half a line", "a line without its end", "zeros", "longer than a block"],
)
def test_a_torn_tail_is_cut_off(path: Path, tail: bytes) -> None:
    """What a kill or a power cut left of the last line is gone, and lines go on behind the whole ones."""
    with Journal(path, "spring") as journal:
        journal.finished(body_of(1))
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    with Journal(path, "spring") as journal:
        assert path.read_bytes() == whole
        journal.finished(body_of(2))
        assert list(journal.finished_ids()) == [f"{number:032x}" for number in (1, 2)]


def test_a_cut_at_any_byte_leaves_a_journal(path: Path) -> None:
    """Wherever a crash cuts the file, the next run opens it and finds exactly the results that were whole."""
    with Journal(path, "spring") as journal:
        for number in (1, 2):
            journal.started(make_request(number), grant())
            journal.finished(body_of(number))
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with Journal(path, "spring") as journal:
            results = [json.dumps(result) for result in journal.results()]
            assert results == [body_of(number) for number in (1, 2)][: content[:length].count(b"}}\n")]


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe garbage",
        b"",
        b'{"event":"result"}',
        b'{"event":"result","result":{"job_id":"no hex"}}',
        b'{"event":"started","job_id":"' + b"0" * 32 + b'"}',
        b'{"event":["result"]}',
        b'{"event":"resalt","result":{}}',
        b"[" * 5000,
    ],
)
def test_a_damaged_line_is_named(path: Path, line: bytes) -> None:
    """A line that is not the last is never skipped in silence: its job might be called again or missed."""
    with Journal(path, "spring") as journal:
        journal.finished(body_of(1))
    path.write_bytes(path.read_bytes() + line + b"\n")
    with Journal(path, "spring") as journal:
        journal.finished(body_of(2))
        with pytest.raises(InputError) as caught:
            list(journal.results())
        with pytest.raises(InputError):
            restore(journal.lines(), MemoryStore(ManualClock(NOON)), lambda *_: None)
    assert f"{path}, line 3: is damaged; restore the file, or delete this line" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_fields_that_a_line_should_not_have_are_passed_over(path: Path) -> None:
    """The event alone decides what is a result; another kind of line may have a field of that name."""
    with Journal(path, "spring") as journal:
        journal.started(make_request(1), grant())
        journal.started(make_request(2), grant())
    first, *calls = path.read_bytes().splitlines()
    header = first[:-1] + b',"result":5}'
    path.write_bytes(b"\n".join([header, *(line[:-1] + b',"result":5}' for line in calls), b""]))
    store = restored(path, make_request(1))
    assert isinstance(store.admit(make_request(1)), Grant)


def test_another_campaign_is_refused(path: Path) -> None:
    """A journal belongs to one campaign; the line names both."""
    Journal(path, "spring").close()
    with pytest.raises(UsageError, match="belongs to campaign 'spring', not 'autumn'; choose another --out"):
        Journal(path, "autumn")


@pytest.mark.parametrize(
    "content",
    [
        b"email,channel\n",
        b"email,channel\nann@example.org,sms",
        b"without a line end",
        b'{"event":"result","result":{}}\n',
        b"\0" * 100_000 + b"\n",
    ],
)
def test_a_file_of_another_kind_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    """What is no journal is not written to."""
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is not a journal of this command; choose another --out"):
        Journal(path, "spring")
    assert path.read_bytes() == content


def test_another_version_is_refused(path: Path) -> None:
    """A journal of a later version may hold what this one would misread."""
    path.write_text('{"event":"campaign","version":2,"campaign":"spring"}\n')
    with pytest.raises(UsageError, match="was written by another version"):
        Journal(path, "spring")


def test_two_runs_at_once_are_refused(path: Path) -> None:
    """The second run is refused; when the first one ends, so does its lock."""
    with Journal(path, "spring"), pytest.raises(UsageError, match="another run has it open"):
        Journal(path, "spring")
    Journal(path, "spring").close()


def test_a_folder_that_does_not_exist_is_one_line(tmp_path: Path) -> None:
    """The line names the folder that is missing, and what to do."""
    with pytest.raises(InputError, match=r"missing: there is no such folder for .*journal; choose another --out"):
        Journal(tmp_path / "missing" / "results.csv.journal", "spring")


def test_a_full_disk_leaves_no_half_line(path: Path) -> None:
    """A line that didn't fit is taken back whole, so that a shorter one can follow it."""
    with Journal(path, "spring") as journal:
        before = path.read_bytes()
        with largest_file(len(before) + 40):
            with pytest.raises(InputError, match="free some space, then run the same command again to continue"):
                journal.started(make_request(1), grant())
            assert path.read_bytes() == before
            with pytest.raises(InputError):
                journal.finished(body_of(1))
        journal.finished(body_of(2))
        assert list(journal.finished_ids()) == [f"{2:032x}"]


def test_an_open_call_is_taken_over_at_once(path: Path) -> None:
    """A call that was started and never answered counts as an attempt, and is taken over at once."""
    request = make_request(1)
    with Journal(path, "spring") as journal:
        journal.started(request, grant(attempts=2, takeovers=1))
    again = go(restored(path, request), request)
    assert (again.attempts, again.takeovers) == (3, 2)


def test_a_released_call_is_no_attempt(path: Path) -> None:
    """A grant that was undone leaves the job as it was before."""
    request = make_request(1)
    with Journal(path, "spring") as journal:
        journal.started(request, grant(attempts=2))
        journal.released(request, grant(attempts=2), called=False)
    again = go(restored(path, request), request)
    assert (again.attempts, again.takeovers) == (2, 0)


def test_a_repeat_keeps_its_time(path: Path) -> None:
    """A job that waits for its repeat waits on in the next run."""
    request = make_request(1)
    with Journal(path, "spring") as journal:
        journal.started(request, grant())
        journal.repeated(request, grant(), Later(1, NOON + 5 * SECOND, Retry(503, "http_503")))
    assert restored(path, request).admit(request) == Wait("job", NOON + 5 * SECOND)
    assert go(restored(path, request, now=NOON + 6 * SECOND), request).attempts == 2


def test_what_a_repeat_costs(path: Path) -> None:
    """An attempt that was not spent is given again, and a call that may have been carried out stays on record."""
    request = make_request(1)
    with Journal(path, "spring") as journal:
        journal.started(request, grant())
        journal.repeated(request, grant(), Later(1, NOON, Unknown(None, "timeout"), spent=False))
    again = go(restored(path, request), request)
    assert (again.attempts, again.takeovers, again.unknowns) == (1, 0, 1)
    with Journal(path, "spring") as journal:
        journal.started(request, again)
        journal.released(request, again, called=True)
    again = go(restored(path, request), request)
    assert (again.attempts, again.unknowns) == (1, 1)
    with Journal(path, "spring") as journal:
        journal.started(request, again)
    again = go(restored(path, request), request)
    assert (again.attempts, again.takeovers, again.unknowns) == (2, 1, 2)


@pytest.mark.parametrize("called", [True, False])
def test_a_days_calls_are_counted_again(path: Path, called: bool) -> None:
    """Every call that went out counts against the day, finished, open, repeated or throttled; no other does."""
    request = make_request(9, limits=make_limits(per_day=5))
    with Journal(path, "spring") as journal:
        journal.started(make_request(1), grant())
        journal.finished(body_of(1))
        journal.started(make_request(2), grant())
        journal.repeated(make_request(2), grant(), Later(1, NOON, Retry(503, "http_503")))
        journal.started(make_request(2), grant())
        journal.started(make_request(3), grant())
        journal.released(make_request(3), grant(), called=called)
        journal.started(make_request(4), grant(NOON - DAY))
        journal.finished(body_of(4))
    store = restored(path, request)
    left = 1 if called else 2
    for number in range(left):
        go(store, make_request(10 + number, limits=request.limits))
    assert store.admit(request) == ShopClosed(NOON + DAY // 2, "day_quota")


def test_a_customers_day_is_counted_again(path: Path) -> None:
    """One customer's calls count against that customer's day, and nobody else's."""
    limits = make_limits(customer_per_day=2)
    with Journal(path, "spring") as journal:
        for number in (1, 2):
            journal.started(make_request(number), grant())
            journal.finished(body_of(number))
    store = restored(path, make_request(limits=limits))
    assert store.admit(make_request(3, limits=limits)) == Wait("customer", NOON + DAY // 2)
    go(store, make_request(4, limits=limits, customer="e:bob@example.com"))


def test_a_second_run_right_after_keeps_the_pace(path: Path) -> None:
    """The last calls of one run and the first of the next share a second, of the shop and of the customer."""
    for limits in (make_limits(customer=Rate.per_second(2, 2)), make_limits(shop=Rate.per_second(2, 2))):
        with Journal(path, "spring") as journal:
            for number in (1, 2):
                journal.started(make_request(number), grant())
                journal.finished(body_of(number))
        request = make_request(3, limits=limits)
        reply = restored(path, request, now=NOON + SECOND // 10).admit(request)
        assert isinstance(reply, Wait | ShopClosed)
        assert reply.until == NOON + SECOND // 2
        go(restored(path, request, now=NOON + SECOND // 2), request)
        path.unlink()


def test_calls_of_a_shop_that_is_gone_are_left_out(path: Path) -> None:
    """A shop that left the shops file has no limits to count against."""
    with Journal(path, "spring") as journal:
        journal.started(make_request(1), grant())
        journal.finished(body_of(1))
        restore(journal.lines(), MemoryStore(ManualClock(NOON)), lambda *_: None)


def test_a_later_run_goes_by_the_wall_clock(path: Path) -> None:
    """A run whose clock was put right notes the right times, by which the next one's store counts days and repeats."""
    request = make_request(1, limits=make_limits(per_day=1))
    with Journal(path, "spring") as journal:
        journal.started(request, grant(NOON - DAY), DAY)
        later = Later(1, NOON - DAY + 5 * SECOND, Retry(503, "http_503"))
        journal.repeated(request, grant(NOON - DAY), later, DAY)
    store = restored(path, request)
    assert store.admit(request) == Wait("job", NOON + 5 * SECOND)
    assert isinstance(store.admit(make_request(2, limits=make_limits(per_day=1))), ShopClosed)


def test_a_later_result_of_what_ended_without_a_call(path: Path) -> None:
    """Of a job that expired and was tried again the later result counts; until it is final the job is not finished."""
    outcomes = [(1, "expired"), (2, "sent"), (3, "expired"), (1, "sent"), (3, "expired"), (4, "cancelled")]
    with Journal(path, "spring") as journal:
        for number, outcome in outcomes:
            journal.finished(json.dumps({"job_id": f"{number:032x}", "outcome": outcome}))
        assert [(int(result["job_id"], 16), result["outcome"]) for result in journal.results()] == [
            (2, "sent"),
            (1, "sent"),
            (3, "expired"),
            (4, "cancelled"),
        ]
        assert list(journal.finished_ids()) == [f"{number:032x}" for number in (2, 1)]
