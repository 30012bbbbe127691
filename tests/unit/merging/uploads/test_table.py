"""Tests for what is known about each tool."""

import csv

import pytest

from tests.importers import IMPORTERS
from worker.errors import UsageError
from worker.merging.uploads.table import TOOLS
from worker.merging.uploads.tool import Tool


def test_the_table_is_within_what_the_importers_take() -> None:
    """Each bound is at most the importer's, and each identifier is one of its own."""
    assert set(TOOLS) == set(IMPORTERS)
    for name, tool in TOOLS.items():
        taken = IMPORTERS[name]
        assert [identifier.name for identifier in tool.identifiers if identifier.name not in taken.identifiers] == []
        assert tool.most_bytes <= taken.megabytes * 1_000_000
        assert taken.rows is None or (tool.most_rows is not None and tool.most_rows < taken.rows)
        assert tool.delimiter == taken.delimiter
        longest = tool.longest_link
        assert (taken.text_bytes, taken.text_characters) == (
            longest.number if longest and longest.unit == "bytes" else None,
            longest.number if longest and longest.unit == "characters" else None,
        )


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_the_default_name_is_one_that_may_be_given(tool: Tool) -> None:
    """Whoever types the default as an option gets the same file."""
    tool.check_name(tool.link_column)
    header = tool.header(tool.identifiers[0], tool.link_column)
    assert header[0] == tool.identifiers[0].name
    assert next(csv.reader([",".join(header)])) == header


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
@pytest.mark.parametrize(
    "name", ["", " ", " link", "li\nnk", "x" * 101, "Email", "e-mail", "TAGS", "First Name", "Email Marketing Consent"]
)
def test_a_name_that_would_replace_something_else_is_refused(tool: Tool, name: str) -> None:
    """The line says so, with the default."""
    with pytest.raises(UsageError, match="--link-column"):
        tool.check_name(name)


@pytest.mark.parametrize(
    ("tool", "name", "taken"),
    [
        ("shopify", "Metafield: my_app.link", True),
        ("shopify", "Metafield: link", False),
        ("shopify", "referral_link", False),
        ("brevo", "LINK_2", True),
        ("brevo", "Link", False),
        ("braze", "$link", False),
        ("braze", "My Link", True),
        ("mailchimp", "Ihr Empfehlungslink", True),
    ],
)
def test_names_are_as_each_tool_spells_them(tool: str, name: str, taken: bool) -> None:
    """Shopify's metafields, Brevo's capitals, Braze's sign for its own."""
    if taken:
        TOOLS[tool].check_name(name)
    else:
        with pytest.raises(UsageError, match=tool):
            TOOLS[tool].check_name(name)
