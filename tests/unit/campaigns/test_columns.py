"""Headers: what is recognised, what the command can say, and what is refused."""

import shlex

import pytest

from tests.unit.campaigns.conftest import Import
from worker.campaigns.columns import parse_mapping
from worker.campaigns.consent import parse_consent
from worker.errors import UsageError


@pytest.mark.parametrize("header", ["customer_email", "Customer E-mail", " CUSTOMER EMAIL ", '"customer.email"'])
def test_names_are_matched_loosely(run_import: Import, header: str) -> None:
    """Case, punctuation and spaces of a header don't matter."""
    assert run_import(f"{header},x\none@example.com,y\n").emails == ["one@example.com"]


def test_mapping(run_import: Import) -> None:
    """`--map` reads a field from another column, and one column may give several fields."""
    mapping = parse_mapping(["Customer-Email=email", "customer_shopid=Customer ID", "reference=Customer ID"])
    (job,) = run_import("Email,Customer ID\none@example.com,'77\n", mapping=mapping).jobs
    assert (job.customer.email, job.customer.shopid, job.reference) == ("one@example.com", "77", "'77")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["customer_email"], "FIELD=COLUMN"),
        (["customer_email="], "FIELD=COLUMN"),
        (["email=Email"], "unknown field; the fields are customer_email"),
        (["customer_email=A", "customer-email=B"], "customer_email is given twice"),
    ],
)
def test_bad_mapping(arguments: list[str], message: str) -> None:
    """A `--map` that can't be used is refused with the remedy."""
    with pytest.raises(UsageError, match=message):
        parse_mapping(arguments)


@pytest.mark.parametrize(
    ("header", "options", "message"),
    [
        ("Email,Name", {}, "no column for the customer; .*--map customer_email=COLUMN.*columns seen: Email, Name"),
        ("customer_email", {"mapping": {"reference": "Ref"}}, "--map reference=Ref: no such column; columns seen"),
        (
            "customer_email",
            {"consent": [parse_consent("ok=yes")]},
            "--consent ok: no such column; columns seen: customer_email",
        ),
        ("customer_email", {"channel": None}, "give --channel or --map channel=COLUMN"),
        ("customer_email", {"shop": None}, "give --shop or --map shop=COLUMN"),
        ("CUSTOMER-EMAIL,Customer Email", {}, r"2 columns could be customer_email \(1, 2 from the left\); rename"),
        ("customer_email,A,A", {"mapping": {"reference": "A"}}, r"--map reference=A \(2, 3 from the left\); rename"),
    ],
)
def test_header_refused(run_import: Import, header: str, options: dict[str, object], message: str) -> None:
    """A header that can't be understood is one line with the columns seen and the remedy."""
    with pytest.raises(UsageError, match=message) as caught:
        run_import(f"{header}\n", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "suggestion"),
    [
        ("Email,Name", "customer_email=Email"),
        ("Name,EMAIL", "customer_email=EMAIL"),
        ("Customer ID,Email  Address", "'customer_email=Email Address'"),
        ("Customer ID,Name", "'customer_shopid=Customer ID'"),
        ('{"attributes": {"E-Mail": "x"}}', "customer_email=attributes.E-Mail"),
    ],
)
def test_likely_columns_are_suggested(run_import: Import, header: str, suggestion: str) -> None:
    """Where the customer's column is missed one that may be meant is named, ready to paste; none is taken unasked."""
    with pytest.raises(UsageError) as refused:
        run_import(f"{header}\n")
    assert f"no column for the customer; is it --map {suggestion}? Else name one" in str(refused.value)
    assert run_import(f"{header}\n", mapping=parse_mapping([shlex.split(suggestion)[0]])).jobs is not None


def test_nothing_likely(run_import: Import) -> None:
    """What merely contains such a word is not suggested."""
    with pytest.raises(UsageError, match="no column for the customer; name one"):
        run_import("Friend Email,Email Consent\n")


def test_no_column_for_a_field(run_import: Import) -> None:
    """`--map FIELD=-` reads a field from no column, though the export has one of its name."""
    mapping = parse_mapping(["channel=-", "reference=-"])
    (job,) = run_import("customer_email,Channel,Reference\none@example.com,Online Store,7\n", mapping=mapping).jobs
    assert (job.channel, job.reference) == ("whatsapp", None)
    with pytest.raises(UsageError, match="no column for the customer"):
        run_import("customer_email\none@example.com\n", mapping=parse_mapping(["customer_email=-"]))


def test_a_name_without_letters(run_import: Import) -> None:
    """A column named by a sign is that column, and none of those without a name."""
    content = "customer_email,,✓\none@example.com,yes,no\ntwo@example.com,no,yes\n"
    assert run_import(content, consent=[parse_consent("✓=yes")]).emails == ["two@example.com"]


def test_unused_duplicates_are_tolerated(run_import: Import) -> None:
    """Repeated and empty headers do no harm where no field is read from them, and one exact name wins."""
    done = run_import("TAGS,TAGS,,,Channel,channel,customer_email\na,b,c,d,sms,telegram,one@example.com\n")
    assert [job.channel for job in done.jobs] == ["telegram"]


def test_missing_header_shows_no_personal_data(run_import: Import) -> None:
    """A file without a header doesn't put its first row's address or phone number on the screen."""
    with pytest.raises(UsageError, match=r"columns seen: .looks like data., .looks like data., vip$") as caught:
        run_import("one@example.com,+15550100123,vip\n")
    assert "example.com" not in str(caught.value)


def test_long_header_is_cut(run_import: Import) -> None:
    """Of 1,000 columns the message lists the first 40."""
    with pytest.raises(UsageError, match=r"c39 and 960 more$"):
        run_import(",".join(f"c{number}" for number in range(1000)))
