"""Whose addresses a file of opt-outs has: a tool's own list as it is, any export, or plain lines."""

from pathlib import Path

import pytest

from worker.campaigns.containers.expand import expand
from worker.campaigns.opt_outs import OptOuts
from worker.errors import InputError, UsageError

GOLDEN = Path(__file__).parent / "presets/golden"


def opt_outs(*paths: Path, **mapping: str) -> OptOuts:
    """The addresses of these files."""
    return OptOuts(expand(paths, print), mapping)


def written(folder: Path, text: str, name: str = "list.csv") -> Path:
    """A file with this text."""
    path = folder / name
    path.write_text(text)
    return path


def test_takes_hubspot_s_list_as_it_is() -> None:
    """Everybody on it, unsubscribed and bounced."""
    found = opt_outs(GOLDEN / "hubspot-suppressions/unsubscribes-and-bounces.csv")
    assert list(found)[:2] == ["ben@example.com", "cleo@example.com"]
    assert found.others == 0


def test_takes_mailchimp_s_archive_as_it_is() -> None:
    """Of its four files those of people who did not subscribe; the subscribed are counted and left alone."""
    found = opt_outs(
        GOLDEN / "mailchimp/cleaned_members_export_0a1b2c3d4e.csv",
        *sorted((GOLDEN / "mailchimp").glob("*subscribed*.csv")),
    )
    addresses = set(found)
    assert {"cleo@example.com", "dora@example.com", "emil@example.com"} <= addresses
    assert "ann@example.com" not in addresses
    assert found.others >= 2


def test_takes_of_contacts_those_who_said_no() -> None:
    """An export that tells consent row by row."""
    found = opt_outs(GOLDEN / "hubspot/hubspot-crm-exports-all-contacts.csv")
    addresses = list(found)
    assert addresses
    assert found.others


@pytest.mark.parametrize(
    "text",
    [
        "ann@example.com\nben@example.com\n",
        '"ann@example.com"\r\n\r\n  ben@example.com ',
        "\ufeffann@example.com\nben@example.com",
        "email\nann@example.com\nben@example.com\n",
        "name;customer_email;shop\nAnn;ann@example.com;x\nBen;ben@example.com;y\n",
        "customer_email,name\nAnn <ann@example.com>,a\nmailto:ben@example.com,b\n,c\n",
    ],
)
def test_takes_plain_lists_and_exports(tmp_path: Path, text: str) -> None:
    """With or without a header, whatever else is in the rows."""
    found = opt_outs(written(tmp_path, text))
    assert [address.strip("\ufeff") for address in found] == ["ann@example.com", "ben@example.com"]
    assert (found.told, found.others) == (2, 0)


def test_takes_the_column_that_is_named(tmp_path: Path) -> None:
    """As `--map` names it for an export."""
    path = written(tmp_path, "who,whom\nx,ann@example.com\n,\n")
    found = opt_outs(path, customer_email="whom")
    assert list(found) == ["ann@example.com"]


@pytest.mark.parametrize("text", ["ann@example.com\nnobody\n", "ann@example.com\nben@example.com,cat@example.com\n"])
def test_refuses_a_list_with_a_line_that_is_no_address(tmp_path: Path, text: str) -> None:
    """The person in it would be called."""
    with pytest.raises(InputError, match="line 2 is no e-mail address"):
        list(opt_outs(written(tmp_path, text)))


def test_refuses_rows_that_are_torn(tmp_path: Path) -> None:
    """For the same reason."""
    with pytest.raises(InputError, match="would be called"):
        list(opt_outs(written(tmp_path, "customer_email,name\nann@example.com,Ann\nben@example.com\n")))


def test_refuses_a_file_without_addresses(tmp_path: Path) -> None:
    """It is the wrong file, or its column is not known."""
    with pytest.raises(UsageError):
        list(opt_outs(written(tmp_path, "email,name\n,Ann\n")))
