"""The rules that make a row a job, each with its reason."""

import pytest

from tests.unit.campaigns.conftest import Import
from tests.unit.making import foreign_job
from worker.campaigns import parse_consent
from worker.campaigns.rows import ORDINARY

HEADER = "customer_email,customer_shopid,customer_bhid,channel,destination,sender,reference,shop\n"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",,,sms,,,,", "no_customer"),
        ("not an address,,,sms,,,,", "no_customer"),
        (f",{'7' * 321},,sms,,,,", "no_customer"),
        (",',,sms,,,,", "no_customer"),
        ("one@example.com,,,,,,,", "no_channel"),
        (f"one@example.com,,,{'x' * 65},,,,", "no_channel"),
        ("one@example.com,,,email,,,,", "bad_destination"),
        ("one@example.com,,,Email,friend@,,,", "bad_destination"),
        ("one@example.com,,,sms,,,,not a slug", "no_shop"),
        ("one@example.com,,,sms,,,,other", "no_shop"),
        (f"one@example.com,,,sms,,,{'r' * 1025},", "unreadable_row"),
        (f"one@example.com,,,sms,,{'s' * 321},,", "unreadable_row"),
    ],
)
def test_reasons(run_import: Import, row: str, reason: str) -> None:
    """A row that can't become a job is rejected for the first rule that it breaks; the others go on."""
    done = run_import(f"{HEADER}{row}\ngood@example.com,,,sms,,,,\n", channel=None, shops=frozenset({"acme"}))
    assert done.rejects == [(2, reason)]
    assert done.emails == ["good@example.com"]
    assert done.importer.rejected == {reason: 1}


def test_job_of_a_full_row(run_import: Import) -> None:
    """Values are trimmed, ids lose Shopify's apostrophe, and the id is the one that the fields make."""
    row = " One@Example.com , '77 ,'b,EMAIL, Friend@example.org ,me@example.com, Größe ,beta"
    (job,) = run_import(HEADER + row + "\n", run=2, shops=frozenset({"acme", "beta"})).jobs
    assert (job.customer.email, job.customer.shopid, job.customer.bhid) == ("One@Example.com", "77", "b")
    assert (job.channel, job.destination, job.sender) == ("email", "Friend@example.org", "me@example.com")
    assert (job.reference, job.shop, job.campaign, job.run, job.line) == ("Größe", "beta", "spring", 2, 2)
    assert job.job_id == job.expected_id()


def test_defaults_fill_empty_cells(run_import: Import) -> None:
    """`--shop` and `--channel` serve the rows that name none, and only those."""
    content = f"{HEADER}a@example.com,,,,,,,\nb@example.com,,,sms,,,,beta\n"
    assert [(job.shop, job.channel) for job in run_import(content).jobs] == [("acme", "whatsapp"), ("beta", "sms")]


def test_no_shop_at_all(run_import: Import) -> None:
    """Without `--shop` a row that names none is rejected."""
    done = run_import(f"{HEADER}a@example.com,,,,,,,\nb@example.com,,,,,,,beta\n", shop=None)
    assert done.rejects == [(2, "no_shop")]


def test_invalid_address_beside_another_id(run_import: Import) -> None:
    """An address that is none is left out where another id names the customer."""
    (job,) = run_import(HEADER + "nonsense,77,,,,,,\n").jobs
    assert job.customer.identity() == {"shopid": "77"}


def test_one_mailbox_in_four_spellings(run_import: Import) -> None:
    """It is one customer with one job, whose address is sent as it is usually written; a friend's address too."""
    spellings = ["c5@example.org", "c5@example。org", "ｃ５＠ｅｘａｍｐｌｅ.org", "c5@exam\ufe0fple.org"]
    friends = ["d5@example.org", "d5@EXAMPLE。org", "ｄ５@example.org", "d5@example.org\ufe0f"]
    rows = "".join(f"{own},,,email,{friend},,,\n" for own, friend in zip(spellings, friends, strict=True))
    done = run_import(HEADER + rows)
    assert [(job.customer.email, job.destination) for job in done.jobs] == [("c5@example.org", "d5@example.org")]
    assert done.importer.rejected == {"duplicate_row": 3}


def test_consent(run_import: Import) -> None:
    """Only rows whose column has the value are kept, whatever its case; the others are rejected before all else."""
    content = "customer_email,ok\na@example.com, Yes \nb@example.com,no\n,\n,maybe\n"
    done = run_import(content, consent=[parse_consent("OK=yes")])
    assert done.emails == ["a@example.com"]
    assert done.rejects == [(3, "no_consent"), (5, "no_consent")]


def test_destination_left_out_with_one_warning(run_import: Import) -> None:
    """A channel that takes no destination gets none, and each export says so once."""
    content = HEADER + "a@example.com,,,sms,+15550100,,,\nb@example.com,,,sms,x@example.com,,,\n"
    done = run_import(content, content.replace("a@", "c@").replace("b@", "d@"))
    assert [job.destination for job in done.jobs] == [None] * 4
    assert [warning.rpartition("/")[2] for warning in done.importer.warnings] == [
        "0.csv: destinations are left out where the channel takes none (first in line 2)",
        "1.csv: destinations are left out where the channel takes none (first in line 2)",
    ]


def test_unknown_channels_are_sent_with_one_warning_each(run_import: Import) -> None:
    """An unknown channel is never refused; 20 of them are named, and nothing that might be an address."""
    values = ["carrier-pigeon", "carrier-pigeon", "anna@example.com", *(f"channel-{n}" for n in range(30))]
    rows = "".join(f"c{n}@example.com,,,{value},,,,\n" for n, value in enumerate(values))
    done = run_import(HEADER + rows)
    assert sorted(job.channel for job in done.jobs) == sorted(values)
    warnings = done.importer.warnings
    assert len(warnings) == 21
    assert warnings[0] == "a channel 'carrier-pigeon' is unknown here and is sent as it is"
    assert warnings[-1] == "more such values of channel are not listed"
    assert not any("@" in warning for warning in warnings)


@pytest.mark.parametrize("spelling", ["QR Code", "qr_code", " qr-code "])
def test_known_channels_in_other_spellings(run_import: Import, spelling: str) -> None:
    """A known channel is recognised in the spellings of spreadsheets."""
    done = run_import(f"{HEADER}a@example.com,,,{spelling},,,,\n")
    assert [job.channel for job in done.jobs] == ["qr-code"]
    assert not done.importer.warnings


def test_shop_outside_the_file_is_warned_of(run_import: Import) -> None:
    """A rejected shop is named once, so that its missing section is noticed."""
    rows = "a@example.com,,,,,,,beta\nb@example.com,,,,,,,beta\n"
    done = run_import(HEADER + rows, shops=frozenset({"acme"}))
    assert list(done.importer.warnings) == ["rows of the shop 'beta' are rejected: it is not in the shops file"]


def test_ordinary_text_needs_no_second_look() -> None:
    """The model takes every text of the length up to which it isn't asked."""
    longest = "x" * ORDINARY
    customer = dict.fromkeys(("bhid", "shopid", "email"), longest)
    foreign_job(customer=customer, channel=longest, destination=longest, sender=longest, reference=longest)
