"""Tests for which rows a tool gets."""

from collections import Counter
from collections.abc import Sequence

import pytest

from worker.errors import InputError
from worker.merging.uploads.selection import WHY_NOT, Selection, Upload, UploadRow
from worker.merging.uploads.table import TOOLS

LINK = "https://acme.example.com/r/abc123"


def row(*identifiers: str, link: str | None = LINK, sent: bool = True, current: str = "") -> UploadRow:
    """A row that was sent, with the cells of its identifiers."""
    return UploadRow(sent=sent, rehearsed=False, link=link, identifiers=identifiers, current=current)


def selected(tool: str, rows: Sequence[UploadRow]) -> tuple[list[Upload], Counter[str]]:
    """What is uploaded, and how many are not by why."""
    with Selection(TOOLS[tool]) as selection:
        return list(selection.uploads(rows)), selection.left_out


def test_a_person_is_uploaded_once_by_the_row_that_has_a_link() -> None:
    """Rows of one address in any case are one person; a row without a link doesn't take the place of one with it."""
    uploads, left_out = selected(
        "klaviyo",
        [
            row("ann@example.com", link=None),
            row("Ann@Example.com"),
            row("ANN@example.com", link=f"{LINK}2"),
            row("ben@example.com", sent=False),
        ],
    )
    assert uploads == [Upload(0, "Ann@Example.com", LINK)]
    assert left_out == Counter({"no link": 1, "same person": 1, "not sent": 1})


@pytest.mark.parametrize(
    ("tool", "identifiers", "uploaded"),
    [
        ("shopify", ("'0072231200083", "ann@example.com"), (0, "0072231200083")),
        ("shopify", ('="9223372036854775807"', ""), (0, "9223372036854775807")),
        ("shopify", ("", " ann@example.com "), (1, "ann@example.com")),
        ("hubspot", ("101", "ann@example.com"), (0, "101")),
        ("braze", ("00123", "5f01", "ann@example.com"), (0, "00123")),
        ("braze", ("", "5f01", "ann@example.com"), (1, "5f01")),
        ("braze", ("", "", "+ann@example.com"), (2, "+ann@example.com")),
        ("mailchimp", ("ann@bücher.example",), (0, "ann@bücher.example")),
    ],
)
def test_the_identifier_is_the_first_one_that_the_row_has(
    tool: str, identifiers: tuple[str, ...], uploaded: tuple[int, str]
) -> None:
    """To the byte, but for what protected it from a spreadsheet: zeros stay, and no apostrophe is put in front."""
    uploads, left_out = selected(tool, [row(*identifiers)])
    assert uploads == [Upload(*uploaded, LINK)]
    assert not left_out


@pytest.mark.parametrize(
    ("tool", "identifiers", "why"),
    [
        ("hubspot", ("1.01E+11", "ann@example.com"), "shortened id"),
        ("shopify", ("7223120008.0", "ann@example.com"), "shortened id"),
        ("hubspot", ("u-101", "ann@example.com"), "bad id"),
        ("braze", ("2026-11-27", "", ""), "bad id"),
        ("klaviyo", ("not an address",), "no identifier"),
        ("klaviyo", ("",), "no identifier"),
        ("mailchimp", ("añn@example.com",), "unsupported address"),
    ],
)
def test_a_damaged_identifier_leaves_its_row_out(tool: str, identifiers: tuple[str, ...], why: str) -> None:
    """Nobody is looked for by it, nor by another cell of a row that was damaged; why is counted."""
    assert selected(tool, [row(*identifiers)]) == ([], Counter({why: 1}))


@pytest.mark.parametrize(
    ("tool", "longest"),
    [("mailchimp", LINK + "é" * ((255 - len(LINK)) // 2)), ("braze", LINK + "é" * (255 - len(LINK)))],
)
def test_a_link_that_the_field_would_cut_is_left_out(tool: str, longest: str) -> None:
    """Mailchimp's field counts bytes, Braze's counts characters; one more than fits is counted, and not cut."""
    blanks = ("",) * (len(TOOLS[tool].identifiers) - 1)
    rows = [row(*blanks, "ann@example.com", link=longest), row(*blanks, "ben@example.com", link=f"{longest}x")]
    uploads, left_out = selected(tool, rows)
    assert [upload.identifier for upload in uploads] == ["ann@example.com"]
    assert left_out == Counter({"long link": 1})


@pytest.mark.parametrize(
    "link",
    ["javascript:alert(1)", "=HYPERLINK(1)", "https://a.example/ b", "https://a\n", "https://a.example/\u202eb", "x"],
)
def test_what_is_no_link_is_left_out(link: str) -> None:
    """A text in its place would reach every mailing of the campaign."""
    assert selected("omnisend", [row("ann@example.com", link=link)]) == ([], Counter({"bad link": 1}))


def test_a_value_that_is_there_already_is_not_paid_for_again() -> None:
    """Braze bills each value, so a link that the export has is left out; the others take it as it is."""
    there = row("u-1", "", "", current=LINK)
    assert selected("braze", [there]) == ([], Counter({"same link": 1}))
    assert len(selected("klaviyo", [row("ann@example.com", current=LINK)])[0]) == 1


def test_a_rehearsal_is_refused() -> None:
    """At its first row, whatever the row's outcome: its links lead nowhere."""
    rehearsed = UploadRow(sent=False, rehearsed=True, link=None, identifiers=("ann@example.com",))
    with pytest.raises(InputError, match="rehearsal"), Selection(TOOLS["klaviyo"]) as selection:
        list(selection.uploads([rehearsed]))


def test_every_reason_is_explained() -> None:
    """The summary's words are those of the table."""
    rows = [row("", link=link, sent=sent) for link in (None, LINK, "x", LINK * 99) for sent in (True, False)]
    assert set(selected("mailchimp", rows)[1]) <= set(WHY_NOT)
