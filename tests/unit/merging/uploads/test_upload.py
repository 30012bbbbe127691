"""Tests for uploads made from real exports: every tool's golden one, and small ones of their own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.importers import IMPORTERS, parts_of
from worker.campaigns.containers.plain import PlainFile
from worker.campaigns.dedup import JobIndex
from worker.campaigns.importer import Importer
from worker.campaigns.options import ImportOptions
from worker.errors import UsageError
from worker.merging.merged_rows import MergedRow
from worker.merging.returned import Returned
from worker.merging.uploads.table import TOOLS
from worker.merging.uploads.upload import Uploaded, write_upload

GOLDEN = Path(__file__).parents[2] / "campaigns" / "presets" / "golden"


def link_of(line: int) -> str:
    """The link of a row."""
    return f"https://acme.example.com/r/{line:06d}"


def rows_of(*paths: Path, **options: Any) -> Iterator[MergedRow]:
    """The rows of exports; each that makes a job was sent."""
    asked = ImportOptions(**{"shop": "acme", "campaign": "spring", "channel": "whatsapp"} | options)
    files = [PlainFile(path) for path in paths]
    with JobIndex() as index:
        importer = Importer(files, asked, index=index, published_at=None, allowed_shops=None, keep_rejects=False)
        for export, record, draft, verdict in importer.rows_judged():
            yield MergedRow(export, record, draft, verdict, sent(record.line) if draft is not None else None)


def sent(line: int) -> Returned:
    """What came back for a row that was sent."""
    return Returned("sent", None, link_of(line), "created", None, None, [], rehearsed=False)


def uploaded(tool: str, out: Path, rows: Iterator[MergedRow], column: str | None = None) -> Uploaded:
    """Write an upload, by default with the default name of its column."""
    return write_upload(rows, TOOLS[tool], column or TOOLS[tool].link_column, out)


@pytest.mark.parametrize(
    ("tool", "identifier", "people"),
    [
        ("klaviyo", "Email", ["ann@example.com", "Gus@example.org"]),
        ("mailchimp", "Email Address", ["ann@example.com", "ben@example.com"]),
        ("shopify", "ID", ["7223120008001", "0072231200083", "9223372036854775807"]),
        ("hubspot", "Record ID", ["101", "103"]),
        ("braze", "external_id", ["u-001", "u-004", "u-006", "u-009"]),
        ("brevo", "EMAIL", ["ann@example.com", "dora@example.com"]),
        ("omnisend", "email", ["ann@example.com", "emil@example.com"]),
    ],
)
def test_each_golden_export_goes_back_into_its_tool(
    tmp_path: Path, tool: str, identifier: str, people: list[str]
) -> None:
    """Exactly the people of its jobs, each by the tool's own identifier as the export has it, with the row's link."""
    told = json.loads((GOLDEN / tool / "expected.json").read_text())
    paths = sorted(path for path in (GOLDEN / tool).iterdir() if path.name != "expected.json")

    done = uploaded(tool, tmp_path / "links.csv", rows_of(*paths))

    (path,) = parts_of(tmp_path / "links.csv")
    lines = IMPORTERS[tool].read(path)
    assert [line[identifier] for line in lines] == people
    assert {line[TOOLS[tool].link_column] for line in lines} == {link_of(job["line"]) for job in told["jobs"]}
    assert done.left_out == {"not sent": len(told["rejected"])}


def test_the_export_of_one_tool_makes_an_upload_for_another(tmp_path: Path) -> None:
    """Shopify's customers by their addresses into Klaviyo; who has none is counted."""
    done = uploaded("klaviyo", tmp_path / "links.csv", rows_of(GOLDEN / "shopify" / "customers_export.csv"))
    assert "no identifier" in done.left_out
    assert all("@" in line["Email"] for line in IMPORTERS["klaviyo"].read(tmp_path / "links.csv"))


def test_an_own_name_of_a_tool_counts_only_in_its_exports(tmp_path: Path) -> None:
    """`user_id` is Braze's external_id in Braze's exports; elsewhere it may be anything, and the address is taken."""
    export = tmp_path / "list.csv"
    export.write_text("customer_email,user_id\nann@example.com,7\n")
    uploaded("braze", tmp_path / "links.csv", rows_of(export))
    assert IMPORTERS["braze"].read(tmp_path / "links.csv") == [
        {"email": "ann@example.com", "referral_link": link_of(2)}
    ]


def test_a_link_that_braze_has_already_is_not_billed_again(tmp_path: Path) -> None:
    """By the export's column, in a CSV and among the custom attributes of an object."""
    csv, objects = tmp_path / "a.csv", tmp_path / "b.jsonl"
    csv.write_text(f"customer_email,external_id,referral_link\na@example.com,1,{link_of(2)}\nb@example.com,2,old\n")
    people = [{"customer_email": f"{n}@example.com", "external_id": n, "braze_id": f"5f{n}"} for n in (3, 4)]
    people[0]["custom_attributes"] = {"referral_link": link_of(1)}  # type: ignore[assignment]
    objects.write_text("".join(json.dumps(person) + "\n" for person in people))
    done = uploaded("braze", tmp_path / "links.csv", rows_of(csv, objects, ignore_consent=True))
    assert [line["external_id"] for line in IMPORTERS["braze"].read(tmp_path / "links.csv")] == ["2", "4"]
    assert done.left_out == {"same link": 2}


def test_two_columns_of_an_identifier_are_refused(tmp_path: Path) -> None:
    """Either may be the right one, and a guess could put a link at another contact."""
    export = tmp_path / "list.csv"
    export.write_text("customer_email,Record ID,record id\nann@example.com,1,2\n")
    with pytest.raises(UsageError, match="2 columns 'Record ID'"):
        uploaded("hubspot", tmp_path / "links.csv", rows_of(export, preset="none"))
    assert not (tmp_path / "links.csv").exists()


def never() -> Iterator[MergedRow]:
    """Rows that must not be read."""
    yield pytest.fail("a row was read")


def test_what_can_be_refused_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    """A name that would replace people's tags, and a file that is there: a million rows later would be late."""
    with pytest.raises(UsageError, match="--link-column Tags"):
        uploaded("omnisend", tmp_path / "links.csv", never(), "Tags")
    (tmp_path / "links.csv").touch()
    with pytest.raises(UsageError, match="is there already"):
        uploaded("omnisend", tmp_path / "links.csv", never())


def test_a_record_id_that_json_gives_as_a_float_is_refused(tmp_path: Path) -> None:
    """It was a number somewhere, and may have lost digits."""
    export = tmp_path / "list.jsonl"
    export.write_text('{"customer_email": "ann@example.com", "record_id": 1.01e11}\n')
    assert uploaded("hubspot", tmp_path / "links.csv", rows_of(export, preset="none")).left_out == {"shortened id": 1}
