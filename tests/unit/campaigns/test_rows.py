"""The rules that make a row a job, each with its reason."""

from pathlib import Path

import pytest

from tests.unit.campaigns.conftest import Import
from tests.unit.making import foreign_job
from worker.campaigns.channels import LOOKED_AT
from worker.campaigns.columns import parse_mapping
from worker.campaigns.consent import parse_consent
from worker.campaigns.containers.plain import PlainFile
from worker.campaigns.dedup import JobIndex
from worker.campaigns.importer import Importer
from worker.campaigns.options import ImportOptions
from worker.campaigns.rows import ORDINARY
from worker.errors import UsageError

HEADER = "customer_email,customer_shopid,customer_bhid,channel,destination,sender,reference,shop\n"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",,,sms,,,,", "no_customer"),
        ("not an address,,,sms,,,,", "no_customer"),
        (f",{'7' * 321},,sms,,,,", "bad_id"),
        (f"one@example.com,,{'b' * 321},sms,,,,", "bad_id"),
        (",',,sms,,,,", "no_customer"),
        ("one@example.com,,,,,,,", "no_channel"),
        (f"one@example.com,,,{'x' * 65},,,,", "bad_channel"),
        ("one@example.com,,,email,,,,", "bad_destination"),
        ("one@example.com,,,Email,friend@,,,", "bad_destination"),
        ("one@example.com,,,sms,,,,not a slug", "no_shop"),
        ("one@example.com,,,sms,,,,other", "no_shop"),
        (f"one@example.com,,,sms,,,{'r' * 1025},", "bad_reference"),
        (f"one@example.com,,,sms,,{'s' * 321},,", "bad_sender"),
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
    """A text that is no address is dropped if another id names the customer."""
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
        "0.csv: destinations are dropped where the channel takes none (first in line 2)",
        "1.csv: destinations are dropped where the channel takes none (first in line 2)",
    ]


def test_unknown_channels_are_sent_with_one_warning_each(run_import: Import) -> None:
    """An unknown channel is never refused; 20 of them are named, and nothing that might be an address."""
    values = ["carrier-pigeon", "carrier-pigeon", "anna@example.com", *(f"channel-{n}" for n in range(30))]
    rows = "".join(f"c{n}@example.com,,,{value},,,,\n" for n, value in enumerate(values))
    done = run_import(HEADER + rows, channel=None)
    assert sorted(job.channel for job in done.jobs) == sorted(values)
    warnings = done.importer.warnings
    assert len(warnings) == 21
    assert warnings[0] == "a channel 'carrier-pigeon' is unknown here and is sent as it is"
    assert warnings[-1] == "more such values of channel are not listed"
    assert not any("@" in warning for warning in warnings)


@pytest.mark.parametrize(("value", "shown"), [("Online Store", "'Online Store'"), ("ann@example.com", "looks like")])
def test_a_column_called_channel_that_has_none(run_import: Import, value: str, shown: str) -> None:
    """Beside --channel it is refused with the remedies, both of which work, before any row becomes a job."""
    content = f"customer_email,Channel\na@example.com,\nb@example.com,SMS\nc@example.com,{value}\n"
    with pytest.raises(
        UsageError, match=r"line 4, which is not a known channel; give --map channel=- .*, or --map"
    ) as refused:
        run_import(content)
    assert shown in str(refused.value)
    assert [job.channel for job in run_import(content, mapping=parse_mapping(["channel=-"])).jobs] == ["whatsapp"] * 3
    taken = run_import(content, mapping=parse_mapping(["channel=Channel"])).jobs
    assert [job.channel for job in taken] == ["whatsapp", "sms", value]


def test_a_foreign_channel_far_below(run_import: Import) -> None:
    """An unknown channel after the first rows is rejected row by row, with one warning."""
    rows = "".join(f"c{number}@example.com,sms\n" for number in range(LOOKED_AT))
    done = run_import(f"customer_email,channel\n{rows}a@example.com,retail\nb@example.com,retail\n")
    assert done.rejects == [(LOOKED_AT + 2, "bad_channel"), (LOOKED_AT + 3, "bad_channel")]
    assert list(done.importer.warnings) == ["rows with the channel 'retail' are rejected, see --map channel"]


@pytest.mark.parametrize("sign", ["\\u001b[31m", "\\u0000", "\\u009b", "\\u007f"])
@pytest.mark.parametrize(("field", "reason"), [("sender", "bad_sender"), ("reference", "bad_reference")])
def test_signs_that_steer(run_import: Import, field: str, reason: str, sign: str) -> None:
    """Control characters in a text of a job reject its row; tabs and line ends don't."""
    rows = [f'{{"customer_bhid": "{number}", "{field}": "a{text}b"}}' for number, text in enumerate([sign, "\\n\\t"])]
    done = run_import("\n".join(rows), suffix=".jsonl")
    assert [job.customer.bhid for job in done.jobs] == ["1"]
    assert done.rejects == [(1, reason)]


def test_a_channel_of_tomorrow(run_import: Import) -> None:
    """The channel that the command gives is taken in the column too, whether it is known here or not."""
    content = "customer_email,channel\na@example.com,carrier-pigeon\nb@example.com,\n"
    assert {job.channel for job in run_import(content, channel="carrier-pigeon").jobs} == {"carrier-pigeon"}


@pytest.mark.parametrize(("given", "meant"), [("wattsapp", "whatsapp"), ("Emial", "email"), ("thread", "threads")])
def test_a_misspelt_channel_of_the_command(run_import: Import, given: str, meant: str) -> None:
    """It is refused before any row becomes a job, with the one that is meant; in a column it is sent as it is."""
    content = f"customer_email,Channel\na@example.com,{given}\n"
    with pytest.raises(UsageError, match=rf"^--channel {given}: .* did you mean {meant}\? Give --channel {meant}"):
        run_import(content, channel=given)
    taken = run_import(content, channel=None, mapping=parse_mapping(["channel=Channel"]))
    assert [job.channel for job in taken.jobs] == [given]


@pytest.mark.parametrize("given", ["carrier-pigeon", "custom-persona", "fb-messenger", "mms"])
def test_another_unknown_channel_of_the_command(tmp_path: Path, given: str) -> None:
    """It is accepted, since the vendor adds channels without notice, with a warning before the first row is read."""
    export = tmp_path / "export.csv"
    export.write_text("customer_email\na@example.com\n")
    options = ImportOptions(shop="acme", campaign="spring", channel=given)
    with JobIndex() as index:
        importer = Importer([PlainFile(export)], options, index=index, published_at=None, allowed_shops=None)
        importer.check()
        assert importer.warnings == (f"a channel '{given}' is unknown here and is sent as it is",)
        assert [job.channel for job in importer] == [given]
        assert len(importer.warnings) == 1


def test_ids_that_a_spreadsheet_shortened_are_told_with_the_remedy(run_import: Import) -> None:
    """One note for an export, at the first such row; another id that can't be one has none of this kind."""
    done = run_import("customer_shopid\nnull\n7.22312E+09\n7.22313E+09\n")
    assert done.rejects == [(2, "bad_id"), (3, "shortened_id"), (4, "shortened_id")]
    (note,) = done.importer.warnings
    assert "(first in line 3)" in note
    assert "format their column as text before the ids are entered, and export again" in note
    assert "7.22312E+09" not in note


def test_doubtful_rows_are_told_with_the_remedy(run_import: Import) -> None:
    """One note for an export says where they are and what to do with them."""
    rows = "\n".join(("a@example.org,1,likes tea", "and cake", "b@example.org,2,x"))
    done = run_import(f"customer_email,customer_shopid,note\n{rows}\n")
    assert {reason for _, reason in done.rejects} >= {"doubtful_row"}
    (note,) = [text for text in done.importer.warnings if "as doubtful_row" in text]
    assert "(first in line 2)" in note
    assert "0.csv.rejects.csv, delete the reason of those that are whole, and run that file" in note


@pytest.mark.parametrize("spelling", ["QR Code", "qr_code", " qr-code ", "QRCode", "ＱＲ‐ｃｏｄｅ"])
def test_known_channels_in_other_spellings(run_import: Import, spelling: str) -> None:
    """A known channel is recognised in the spellings of spreadsheets."""
    done = run_import(f"{HEADER}a@example.com,,,{spelling},,,,\n")
    assert [job.channel for job in done.jobs] == ["qr-code"]
    assert not done.importer.warnings


def test_e_mail_is_email(run_import: Import) -> None:
    """However the channel is spelled, its rows need a destination and keep it."""
    done = run_import(f"{HEADER}a@example.com,,,E-Mail,b@example.com,,,\na@example.com,,,e mail,,,,\n")
    assert [(job.channel, job.destination) for job in done.jobs] == [("email", "b@example.com")]
    assert done.rejects == [(3, "bad_destination")]


def test_shop_outside_the_file_is_warned_of(run_import: Import) -> None:
    """A rejected shop is named once, so that its missing section is noticed."""
    rows = "a@example.com,,,,,,,beta\nb@example.com,,,,,,,beta\n"
    done = run_import(HEADER + rows, shops=frozenset({"acme"}))
    assert list(done.importer.warnings) == ["rows of the shop 'beta' are rejected: the shops file does not list it"]


def test_ordinary_text_needs_no_second_look() -> None:
    """The model takes every text of the length up to which it isn't asked."""
    longest = "x" * ORDINARY
    customer = dict.fromkeys(("bhid", "shopid", "email"), longest)
    foreign_job(customer=customer, channel=longest, destination=longest, sender=longest, reference=longest)
