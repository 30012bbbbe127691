"""Whole imports: duplicates, earlier runs, limits, rejects files and their errors."""

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.unit.campaigns.conftest import Import
from worker.campaigns.columns import parse_mapping
from worker.campaigns.consent import parse_consent
from worker.campaigns.containers.plain import PlainFile
from worker.campaigns.dedup import JobIndex
from worker.campaigns.importer import Importer, Reject
from worker.campaigns.options import ImportOptions
from worker.errors import InputError, UsageError

SAMPLES = Path(__file__).parents[3] / "scripts" / "samples"
TEN = "customer_email,note\n" + "".join(f"c{n}@example.com,n{n}\n" for n in range(10))


Make = Callable[..., Importer]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes importers of paths and options, each with an index of its own, which is closed after the test."""
    with ExitStack() as opened:

        def made(paths: list[Path], *, published_at: datetime | None = None, **options: object) -> Importer:
            heard = {name: options.pop(name) for name in ("on_reject", "keep_rejects") if name in options}
            asked = ImportOptions(**{"shop": "acme", "campaign": "spring", "channel": "whatsapp"} | options)  # type: ignore[arg-type]
            index = opened.enter_context(JobIndex())
            return Importer(
                [PlainFile(path) for path in paths],
                asked,
                index=index,
                published_at=published_at,
                allowed_shops=None,
                **heard,  # type: ignore[arg-type]
            )

        yield made


def test_duplicates_within_and_across_exports(run_import: Import) -> None:
    """A job is made once, wherever its second row stands; case and the apostrophe don't make another one."""
    done = run_import(TEN + "C3@EXAMPLE.com,again\n", TEN.replace("c9@", "c10@"))
    assert len(done.jobs) == len({job.job_id for job in done.jobs}) == 11
    assert done.importer.rejected == {"duplicate_row": 10}
    assert [path.name for path in done.importer.reject_files] == ["0.csv.rejects.csv", "1.csv.rejects.csv"]


def test_finished_rows_are_skipped(run_import: Import) -> None:
    """What an earlier run finished is neither a job nor a reject; its second row is a duplicate."""
    earlier = run_import(TEN).jobs
    done = run_import(TEN + "c0@example.com,x\n", finished=[job.job_id for job in earlier[:4]])
    counts = (done.importer.rows, done.importer.accepted, done.importer.finished, dict(done.importer.rejected))
    assert counts == (11, 6, 4, {"duplicate_row": 1})
    assert done.emails == [job.customer.email for job in earlier[4:]]


def test_limit_counts_jobs(run_import: Import) -> None:
    """`--limit` stops after so many new jobs, and the next run takes up from there."""
    first = run_import(TEN.replace("c1@", "c1"), TEN, limit=3)
    assert first.emails == ["c0@example.com", "c2@example.com", "c3@example.com"]
    assert (first.importer.rows, first.importer.accepted, first.importer.rejected) == (4, 3, {"no_customer": 1})
    second = run_import(TEN, limit=4, finished=[job.job_id for job in run_import(TEN, limit=3).jobs])
    assert second.emails == [f"c{n}@example.com" for n in range(3, 7)]
    assert run_import(TEN, limit=0).jobs == []


def test_count(make: Make, tmp_path: Path) -> None:
    """Counting returns the rows with consent, at most the limit, and starts nothing."""
    path = tmp_path / "a.csv"
    path.write_text('customer_email,ok\na@example.com,yes\n"b@example.com","no"\nc@example.com,"YES\n"\n')
    assert make([path, path]).count() == 6
    assert make([path], consent=[parse_consent("ok=yes")]).count() == 2
    assert make([path], limit=1).count() == 1
    assert [item.name for item in tmp_path.iterdir()] == ["a.csv"]


def test_jobs_are_stamped(make: Make, tmp_path: Path) -> None:
    """The time of publishing and the deadline are on each job."""
    path = tmp_path / "a.csv"
    path.write_text(TEN)
    now, later = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    importer = make([path], published_at=now, not_after=later)
    assert {(job.published_at, job.not_after) for job in importer} == {(now, later)}
    with pytest.raises(RuntimeError, match="once"):
        list(importer)


def test_rejects_file(run_import: Import) -> None:
    """It holds line, reason, the row's number in a spreadsheet, and the row as it was: quotes, line ends as escapes."""
    header = "TAGS,TAGS,customer_email,note"
    row = '"a, ""b""",2, spaced ,"two\nlines"'
    done = run_import(f"{header}\nx,y,one@example.com,z\n{row}\nx,y,,z\nx,y,two@example.com,z\nshort,,\n")
    written = row.replace('"two\nlines"', r"two\nlines")
    assert done.importer.reject_files[0].read_text() == (
        f"line,reason,row,{header}\n3,no_customer,3,{written}\n5,no_customer,4,x,y,,z\n"
        '6,doubtful_row,5,x,y,two@example.com,z\n7,unreadable_row,6,"short,,"\n'
    )


def test_rejects_can_be_run_again(run_import: Import, tmp_path: Path) -> None:
    """A fixed rejects file is an export, also one of an earlier version, which had no column for the row."""
    done = run_import("customer_email,note\none(at)example.com,x\n")
    fixed = done.importer.reject_files[0].read_text().replace("(at)", "@")
    assert run_import(fixed).emails == ["one@example.com"]
    earlier = fixed.replace("line,reason,row,", "line,reason,").replace("2,no_customer,2,", "2,no_customer,")
    assert run_import(earlier.replace(",x\n", ",'=1\n"), mapping={"reference": "note"}).jobs[0].reference == "=1"


def test_rejected_formulas_are_harmless_and_come_back(run_import: Import) -> None:
    """A spreadsheet computes no rejected cell or column name; read again, they are what the export had."""
    done = run_import("customer_email,=1+1,destination,channel\n=HYPERLINK(1),+4915112345,x,email\n", channel=None)
    written = done.importer.reject_files[0].read_text()
    assert (
        written == "line,reason,row,customer_email,'=1+1,destination,channel\n"
        "2,no_customer,2,'=HYPERLINK(1),'+4915112345,x,email\n"
    )
    fixed = written.replace("HYPERLINK(1)", "ann@example.com").replace(",x,", ",'-bo@example.com,")
    again = run_import(fixed, mapping={"reference": "=1+1"}, channel=None)
    (job,) = again.jobs
    assert (job.customer.email, job.destination, job.reference) == (
        "=ann@example.com",
        "-bo@example.com",
        "+4915112345",
    )


def test_rejects_are_read_back_as_often_as_one_likes(run_import: Import) -> None:
    """Rejects of rejects hold the same cells: apostrophes neither pile up nor get lost."""
    cells = ["'", "''=1", "=1+1", "'+2", "-3", "@x", "plain", "'plain", "＝1", "a'b", ""]
    header = ["customer_email", *(f"c{number}" for number in range(len(cells) - 2)), "=c"]

    def written(rows: list[list[str]]) -> list[list[str]]:
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        (file,) = run_import(text.getvalue()).importer.reject_files
        return list(csv.reader(file.read_text().splitlines()))

    first = written([header, cells])
    assert first[0][:3] == ["line", "reason", "row"]
    again = written(first)
    assert again[0][:6] == ["line", "reason", "row"] * 2
    assert [row[6:] for row in again] == [row[3:] for row in first]
    assert [spreadsheet.removeprefix("'") for spreadsheet in first[1][3:]] == cells


def test_apostrophes_of_other_exports_stay(run_import: Import) -> None:
    """Only a file of ours is read without the apostrophes that spreadsheets need."""
    (job,) = run_import("customer_email,reference\nann@example.com,'+49\n").jobs
    assert job.reference == "'+49"


def test_old_rejects_are_replaced(run_import: Import, tmp_path: Path) -> None:
    """The file of an earlier run is gone when this one has no rejects."""
    old = tmp_path / "0.csv.rejects.csv"
    old.write_text("line,reason,email\n")
    assert run_import(TEN).importer.reject_files == []
    assert not old.exists()


def test_check_writes_nothing(make: Make, tmp_path: Path) -> None:
    """Checking leaves an earlier run's rejects where they are."""
    path, old = tmp_path / "a.csv", tmp_path / "a.csv.rejects.csv"
    path.write_text(TEN)
    old.write_text("old")
    make([path]).check()
    assert old.read_text() == "old"


def test_one_rejects_file_for_several_exports(run_import: Import, tmp_path: Path) -> None:
    """An explicit file has the union of the columns; a name that one export has twice stays twice."""
    rejects = tmp_path / "all.csv"
    done = run_import("customer_email,A,A\nx,1,2\n", "B,customer_email,A\n3,y,4\n", rejects=rejects)
    assert done.importer.reject_files == [rejects]
    assert list(csv.reader(rejects.read_text().splitlines())) == [
        ["line", "reason", "row", "customer_email", "A", "A", "B"],
        ["2", "no_customer", "2", "x", "1", "2", ""],
        ["2", "no_customer", "2", "y", "4", "", "3"],
    ]


def test_undecodable_cell_in_the_rejects(run_import: Import) -> None:
    """Bytes that are no text are escaped, so that the rejects file is valid UTF-8."""
    done = run_import(b"customer_email,note\none@example.com,\x81\xff\n")
    (written,) = done.importer.reject_files
    assert written.read_text().splitlines()[1] == r"2,unreadable_row,2,one@example.com,\udc81\udcff"


def test_abandoned_import_leaves_whole_rows(make: Make, tmp_path: Path) -> None:
    """Rejects are on disk in whole rows when the jobs are no longer asked for."""
    path = tmp_path / "a.csv"
    path.write_text("customer_email,note\nbad,x\ngood@example.com,y\n")
    jobs = iter(make([path]))
    next(jobs)
    jobs.close()
    written = (tmp_path / "a.csv.rejects.csv").read_text()
    assert written == "line,reason,row,customer_email,note\n2,no_customer,2,bad,x\n"


def test_stop(make: Make, tmp_path: Path) -> None:
    """A stopped import hands out what it has read and reads nothing more, the next export included."""
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    paths[0].write_text("customer_email\n" + "".join(f"c{n}@example.com\n" for n in range(50_001)))
    paths[1].write_text(TEN)
    importer = make(paths)
    jobs = iter(importer)
    next(jobs)
    importer.stop()
    assert sum(1 for _ in jobs) == 49_999
    assert importer.rows == 50_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shop": "no slug"}, "shop"),
        ({"campaign": ""}, "campaign"),
        ({"channel": "x" * 65}, "channel"),
        ({"limit": -1}, "--limit -1"),
        ({"run": -1}, "run"),
        ({"campaign": "\ud800"}, "Unicode"),
        ({"not_after": datetime(2026, 1, 1)}, "not_after"),  # noqa: DTZ001
    ],
)
def test_options_that_make_no_job(make: Make, tmp_path: Path, options: dict[str, object], message: str) -> None:
    """Options are refused before anything is opened."""
    with pytest.raises(UsageError, match=message):
        make([tmp_path / "missing.csv"], **options).check()


def test_errors_of_files(make: Make, tmp_path: Path) -> None:
    """A missing export, rejects that would overwrite an export, and a folder that isn't there."""
    path = tmp_path / "a.csv"
    with pytest.raises(InputError, match=r"a\.csv: can't be read: No such file"):
        make([path]).check()
    path.write_text("customer_email\nbad\n")
    with pytest.raises(UsageError, match="is an export of this run"):
        make([path], rejects=tmp_path / "." / "a.csv").check()
    assert path.read_text() == "customer_email\nbad\n"
    with pytest.raises(InputError, match=r"can't write the rejected rows.*--rejects"):
        list(make([path], rejects=tmp_path / "none" / "r.csv"))


def test_sample_campaign(make: Make, tmp_path: Path) -> None:
    """The sample has about 2,000 rows over several channels and each kind of bad row."""
    importer = make(
        [SAMPLES / "campaign.csv"],
        channel=None,
        consent=[parse_consent("marketing_consent=yes")],
        rejects=tmp_path / "r",
    )
    jobs = list(importer)
    assert importer.rows == 2000
    assert len(jobs) > 1800
    assert len({job.channel for job in jobs}) == 6
    reasons = {"no_customer", "no_channel", "bad_destination", "duplicate_row", "unreadable_row", "no_consent"}
    # Beside a row with a cell too many.
    reasons.add("doubtful_row")
    assert set(importer.rejected) == reasons


def test_sample_shopify(make: Make, tmp_path: Path) -> None:
    """The Shopify sample runs with `--map` and `--consent`, also for customers without an address."""
    mapping = parse_mapping(["customer_shopid=Customer ID", "customer_email=Email"])
    consent = parse_consent("Accepts Email Marketing=yes")
    importer = make([SAMPLES / "shopify.csv"], mapping=mapping, consent=[consent], rejects=tmp_path / "r")
    jobs = list(importer)
    assert 15 < len(jobs) < 30
    assert all((job.customer.shopid or "").isdigit() for job in jobs)
    assert set(importer.rejected) == {"no_consent"}


def test_rejects_are_reported_and_need_no_file(make: Make, tmp_path: Path) -> None:
    """A plan hears of each rejected row and leaves no file behind."""
    path = tmp_path / "spring.csv"
    path.write_text("customer_email,note\na@example.org,\nnobody,\na@example.org,\n")
    seen: list[Reject] = []
    importer = make([path], on_reject=seen.append, keep_rejects=False)
    assert [draft.line for draft in importer.drafts()] == [2]
    assert [(reject.line, reject.reason) for reject in seen] == [(3, "no_customer"), (4, "duplicate_row")]
    assert importer.rows_of == [3]
    assert list(tmp_path.iterdir()) == [path]


def test_every_row_is_judged_as_it_is_when_it_is_sent(make: Make, tmp_path: Path) -> None:
    """Merging sees each row with its job or its reason; a duplicate with the job that it equals. No file is written."""
    path = tmp_path / "spring.csv"
    path.write_text("customer_email,note\na@example.org,\nnobody,\n\na@example.org,again\nb@example.org,\n")
    importer = make([path])
    rows = list(importer.rows_judged())
    assert [(row.record.line, row.verdict) for row in rows] == [
        (2, "new"),
        (3, "no_customer"),
        (5, "duplicate_row"),
        (6, "new"),
    ]
    first, nobody, again, _ = (row.draft for row in rows)
    assert first is not None
    assert again is not None
    assert (first.job_id, nobody) == (again.job_id, None)
    assert (importer.accepted, importer.rejected.total(), importer.rows_of) == (2, 2, [4])
    assert list(tmp_path.iterdir()) == [path]
