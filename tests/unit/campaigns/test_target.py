"""A rehearsal and a real run never share a journal, nor do the calls to two places."""

import json
from pathlib import Path

import pytest

from tests.unit.embedded.test_journal import body_of, grant
from tests.unit.making import make_request
from worker.campaigns.target import Target
from worker.embedded.journal import Journal
from worker.errors import UsageError

VENDOR, TRIAL = "https://app.bubblehouse.com", "http://127.0.0.1:8085"

REHEARSAL = Target(sandbox=True)


def at(url: str) -> Target:
    """Every shop at one base URL."""
    return Target(base_url_of=lambda _: url)


def run(path: Path, target: Target, *, answered: bool = True) -> None:
    """A run of one job."""
    with Journal(path, "spring", target) as journal:
        journal.started(make_request(1), grant())
        journal.finished(body_of(1), "acme" if answered else None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.csv.journal"


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (REHEARSAL, at(VENDOR), "holds a rehearsal with --sandbox, in which nobody was called; choose another --out"),
        (at(VENDOR), REHEARSAL, "holds the calls of a real run; choose another --out for a rehearsal"),
        (at(TRIAL), at(VENDOR), f"shop acme was called at {TRIAL}, but its base_url is now {VENDOR}; set it back"),
    ],
    ids=["rehearsal, then real", "real, then rehearsal", "another base URL"],
)
def test_a_mixture_is_refused(path: Path, before: Target, now: Target, told: str) -> None:
    """One line says what the journal holds and what to do, before anything is written."""
    run(path, before)
    held = path.read_bytes()

    with pytest.raises(UsageError, match=told):
        Journal(path, "spring", now)

    assert path.read_bytes() == held
    run(path, before)


def test_a_rehearsal_without_a_call_is_one(path: Path) -> None:
    """A run that was stopped before its first call leaves the file too."""
    Journal(path, "spring", REHEARSAL).close()
    with pytest.raises(UsageError, match="holds a rehearsal"):
        Journal(path, "spring", at(VENDOR))


def test_a_wrong_url_is_put_right(path: Path) -> None:
    """Where no call was answered, the next run may call elsewhere."""
    run(path, at("https://ap.bubblehouse.com"), answered=False)
    run(path, at(VENDOR))
    with pytest.raises(UsageError, match=f"called at {VENDOR}"):
        Journal(path, "spring", at(TRIAL))


def test_a_url_that_changes_amid_a_run(path: Path) -> None:
    """The shops file is read again during a run: no further call starts, and answers are kept."""
    place = [TRIAL]
    with Journal(path, "spring", Target(base_url_of=lambda _: place[0])) as journal:
        journal.started(make_request(1), grant())
        journal.finished(body_of(1), "acme")
        place[0] = VENDOR
        journal.finished(body_of(2), "acme")
        with pytest.raises(UsageError, match=f"called at {TRIAL}, but its base_url is now {VENDOR}"):
            journal.started(make_request(3), grant())
        assert len(list(journal.finished_ids())) == 2


def earlier(path: Path, *links: str | None) -> None:
    """A journal from before this was written down, with a result for each link."""
    lines = [{"event": "campaign", "version": 1, "campaign": "spring"}]
    lines += [
        {
            "event": "result",
            "result": {"job_id": f"{number:032x}", "outcome": "sent", "referral": link and {"link": link}},
        }
        for number, link in enumerate(links)
    ]
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def test_earlier_journals_are_read(path: Path) -> None:
    """A journal that doesn't say whom it called is continued, and says so from then on."""
    earlier(path)
    with Journal(path, "spring", at(VENDOR)) as journal:
        journal.finished(body_of(1), "acme")
    with pytest.raises(UsageError, match="holds the calls of a real run"):
        Journal(path, "spring", REHEARSAL)


@pytest.mark.parametrize(
    ("link", "now", "told"),
    [
        ("https://shop.example.com/acme/r/rf1", at(VENDOR), "holds a rehearsal"),
        ("https://acme.com/r/rf1", REHEARSAL, "holds the calls of a real run"),
    ],
)
def test_earlier_journals_say_it_by_their_links(path: Path, link: str, now: Target, told: str) -> None:
    """The first result that has a link says whose it is."""
    earlier(path, None, link, "https://acme.com/r/rf2")
    with pytest.raises(UsageError, match=told):
        Journal(path, "spring", now)


def test_an_earlier_version_reads_this_one(path: Path) -> None:
    """It knows the events alone, each line of which has what it had, and passes over what is new in them."""
    run(path, at(VENDOR))
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [line["event"] for line in lines] == ["campaign", "started", "campaign", "result"]
    assert all({"version": 1, "campaign": "spring"}.items() <= lines[number].items() for number in (0, 2))


@pytest.mark.parametrize("target", [REHEARSAL, at(VENDOR)])
def test_half_a_header_is_none(path: Path, target: Target) -> None:
    """Wherever a kill cut the first line of whichever run, the file begins anew."""
    Journal(path, "spring", target).close()
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        Journal(path, "spring", at(VENDOR)).close()
        assert b'"sandbox":false}\n' in path.read_bytes()
