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
        "E-Mail;Link\nann@example.com;https://x.example/1\nben@example.com;https://x.example/2\n",
        '{"email":"ann@example.com"}\n{"email":"ben@example.com"}\n',
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


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("ann@example.com\nnobody\nben@example.com\n", "is no e-mail address"),
        ("ann@example.com\ncat@example.com,dan@example.com\nben@example.com\n", "is no e-mail address"),
        ("ann@example.com\n*@example.org\nben@example.com\n", "is a pattern for all addresses"),
        ("email,name\nann(at)example.com,Ann\nann@example.com,Ann\nben@example.com,Ben\n", "has no e-mail address"),
        ("email,name\n#REF!,Cat\nann@example.com,Ann\nben@example.com,Ben\n", "has no e-mail address"),
    ],
)
def test_names_doubtful_rows_and_takes_the_others(tmp_path: Path, text: str, because: str) -> None:
    """Each may name a person, who would be called; that is no reason to call all the others."""
    found = opt_outs(written(tmp_path, text))
    assert list(found) == ["ann@example.com", "ben@example.com"]
    assert (found.doubtful, found.told, found.blank) == (1, 2, 0)
    (doubt,) = found.doubts
    assert doubt.line == 2
    assert because in str(doubt)


@pytest.mark.parametrize("beside", ["; ben@@example.com", "; " + "x" * 1_000 + " ben@example.com"])
def test_names_cells_of_which_not_all_is_read(tmp_path: Path, beside: str) -> None:
    """The address that can be read counts; the person of the other one would be called and nobody told."""
    found = opt_outs(written(tmp_path, f'email,name\n"ann@example.com{beside}",x\n'))
    assert list(found) == ["ann@example.com"]
    assert [(doubt.line, doubt.because) for doubt in found.doubts] == [
        (2, "has something beside its addresses that may be one more")
    ]


def test_names_rows_that_are_torn(tmp_path: Path) -> None:
    """With those beside them, whose people nobody can tell either."""
    rows = "ann@example.com,Ann\ncat@example.com\ndan@example.com,Dan\nben@example.com,Ben\n"
    found = opt_outs(written(tmp_path, "customer_email,name\n" + rows))
    assert list(found) == ["ben@example.com"]
    assert [doubt.line for doubt in found.doubts] == [2, 3, 4]
    assert str(found.doubts[1]).endswith("list.csv: line 3 can't be read (unreadable_row)")


def test_names_the_first_of_many_doubtful_rows(tmp_path: Path) -> None:
    """All count, and what is kept of them does not grow with the file."""
    found = opt_outs(written(tmp_path, "ann@example.com\n" + "nobody\n" * 150))
    assert list(found) == ["ann@example.com"]
    assert (found.doubtful, [doubt.line for doubt in found.doubts]) == (150, list(range(2, 102)))


def test_refuses_a_file_without_addresses(tmp_path: Path) -> None:
    """It is the wrong file, or its column is not known."""
    with pytest.raises(UsageError):
        list(opt_outs(written(tmp_path, "email,name\n,Ann\n")))


def test_takes_several_files_with_a_header_each(tmp_path: Path) -> None:
    """The first line of the second is no address either."""
    paths = [written(tmp_path, f"email\n{name}@example.com\n", f"{name}.txt") for name in ("ann", "ben")]
    assert list(opt_outs(*paths)) == ["ann@example.com", "ben@example.com"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_takes_files_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    """As exports are read; a list of one column and one of several."""
    for text in ("m\u00fcller@example.com\nann@example.com\n", "email,name\nann@example.com,M\u00fcller\n"):
        (tmp_path / "list.csv").write_bytes(text.encode(encoding))
        assert list(opt_outs(tmp_path / "list.csv"))[-1] == "ann@example.com"


@pytest.mark.parametrize("before", ["", "ann@example.com\n", "email\nann@example.com\n"])
def test_refuses_a_line_without_an_end(tmp_path: Path, before: str) -> None:
    """Of 10 MB: it is no list, and nobody can tell what of it was read."""
    path = written(tmp_path, before + "x" * 10_000_000 + "\nben@example.com\n")
    number = before.count("\n") + 1
    with pytest.raises(InputError, match=rf"line {number} is longer than 4 MiB; write one address a line"):
        list(opt_outs(path))


@pytest.mark.parametrize(
    "text",
    ["id,link\n1,https://x.example/@ann\n", "email,mail\na@example.com,b@example.com\n", "who,whom\n1,a@example.com\n"],
)
def test_refuses_a_file_whose_column_nobody_can_tell(tmp_path: Path, text: str) -> None:
    """Links, two columns of addresses, or one whose name says nothing."""
    with pytest.raises(UsageError, match="no column for the customer"):
        list(opt_outs(written(tmp_path, text)))
