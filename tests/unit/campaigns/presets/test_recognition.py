"""Whose export a header is, which column is what, and what refuses to be guessed."""

from pathlib import Path

import pytest

from tests.unit.campaigns.conftest import Import
from worker.campaigns.columns import parse_mapping
from worker.campaigns.consent import parse_consent
from worker.campaigns.containers.plain import PlainFile
from worker.campaigns.dedup import JobIndex
from worker.campaigns.exports.jsonl import SAMPLE
from worker.campaigns.importer import Importer
from worker.campaigns.options import ImportOptions
from worker.errors import InputError, UsageError
from worker.model.job import Job

KLAVIYO = "Email,Klaviyo ID,Email Marketing Consent,Email Suppressions\n"
SHOPIFY = "Customer ID,Email,Accepts Email Marketing,Accepts SMS Marketing\n"
CONTACTS = "Record ID,Email,Unsubscribed from all email\n"
BOUNCES = "Email,Portal Bounce,Portal Unsubscribe,Portal Spam Report,Global Bounce\n"
MAILCHIMP = "Email Address,LEID,EUID"


def run_files(place: Path, files: dict[str, str], **options: object) -> tuple[list[Job], Importer]:
    """An import of files with these names, whose rejects lie in `rejects.csv`."""
    for name, text in files.items():
        (place / name).write_text(text)
    asked = ImportOptions(
        **{"shop": "acme", "campaign": "spring", "channel": "whatsapp", "rejects": place / "rejects.csv"} | options  # type: ignore[arg-type] # each test gives what the class takes
    )
    with JobIndex() as index:
        importer = Importer(
            [PlainFile(place / name) for name in files], asked, index=index, published_at=None, allowed_shops=None
        )
        return list(importer), importer


@pytest.mark.parametrize("spelled", [KLAVIYO, KLAVIYO.upper(), KLAVIYO.replace(" ", "_").lower()])
def test_headers_are_recognised_however_they_are_spelled(run_import: Import, spelled: str) -> None:
    """Case, spaces and punctuation of a header don't decide whether a suppressed profile is written to."""
    done = run_import(spelled + 'a@example.com,1,SUBSCRIBED,[]\nb@example.com,2,SUBSCRIBED,"[""BOUNCED""]"\n')
    assert done.emails == ["a@example.com"]
    assert done.rejects == [(3, "suppressed")]


def test_suppression_wins_over_consent(run_import: Import) -> None:
    """A profile of Klaviyo that is suppressed keeps SUBSCRIBED, and is not written to."""
    done = run_import(KLAVIYO + 'a@example.com,1,SUBSCRIBED,"[""USER_SUPPRESSED""]"\n')
    assert done.rejects == [(2, "suppressed")]


def test_what_was_recognised_is_told_once(run_import: Import) -> None:
    """One line for all exports that are alike, with the columns that decided and those that tell consent."""
    row = "a@example.com,1,SUBSCRIBED,[]\n"
    (note,) = run_import(KLAVIYO + row, KLAVIYO + row.replace("a@", "b@")).importer.warnings
    assert "0.csv and 1 more: read as klaviyo, by Klaviyo ID; --preset none switches this off" in note
    assert "consent is told by Email Suppressions, Email Marketing Consent" in note


def test_an_export_of_two_tools_is_refused(run_import: Import) -> None:
    """A header that fits two is not decided by chance; `--preset` decides."""
    both = KLAVIYO.replace("\n", ",EMAIL_BLACKLISTED\n") + "a@example.com,1,SUBSCRIBED,[],Yes\n"
    with pytest.raises(UsageError, match="looks like an export of klaviyo and of brevo; say which with --preset"):
        run_import(both)
    assert run_import(both, preset="klaviyo").emails == ["a@example.com"]
    assert run_import(both, preset="brevo").rejects == [(2, "unsubscribed")]


def test_no_preset(run_import: Import) -> None:
    """`--preset none` switches mapping and consent off; an unknown one is refused with all names."""
    text = KLAVIYO + "a@example.com,1,UNSUBSCRIBED,[]\n"
    with pytest.raises(UsageError, match="no column for the customer"):
        run_import(text, preset="none")
    assert run_import(text, preset="none", mapping={"customer_email": "Email"}).emails == ["a@example.com"]
    with pytest.raises(UsageError, match=r"--preset klavio: is not known; give klaviyo, mailchimp, .* or none"):
        run_import(text, preset="klavio")


def test_map_overrules_field_by_field(run_import: Import) -> None:
    """`--map` and a canonical column win over the preset's; what they don't name is still the preset's."""
    text = "Customer ID,Email,Accepts Email Marketing,customer_shopid,Other\n'1,a@example.com,yes,2,b@example.com\n"
    (job,) = run_import(text, mapping=parse_mapping(["customer_email=Other"])).jobs
    assert (job.customer.email, job.customer.shopid) == ("b@example.com", "2")
    (job,) = run_import(text, mapping=parse_mapping(["customer_shopid=-"])).jobs
    assert (job.customer.email, job.customer.shopid) == ("a@example.com", None)


@pytest.mark.parametrize(
    ("header", "row", "lacking"),
    [
        ("Email,Klaviyo ID,Email Marketing Consent", "a@example.com,1,SUBSCRIBED", "Email Suppressions"),
        ("Customer ID,Email,Default Address Zip", "'1,a@example.com,'0123", "Accepts Email Marketing"),
        ("Record ID,Email", "1,a@example.com", "Unsubscribed from all email"),
        ("SubscriberKey,EmailAddress", "1,a@example.com", "Status"),
        ("EMAIL,SMS_BLACKLISTED", "a@example.com,No", "EMAIL_BLACKLISTED"),
        ("user_id,email,opted_in_to_emails_at", "1,a@example.com,2024-01-01", "unsubscribed_from_emails_at"),
        ("Email,Email opt-in date,SMS opt-in date", "a@example.com,2024-01-01,", "Email subscription status"),
    ],
)
def test_a_missing_consent_column_is_no_consent(run_import: Import, header: str, row: str, lacking: str) -> None:
    """The export is refused before its first row; `--ignore-consent` is the only way past, and is told."""
    with pytest.raises(UsageError, match=rf"has no column {lacking}, which .* or give --ignore-consent"):
        run_import(f"{header}\n{row}\n")
    done = run_import(f"{header}\n{row}\n", ignore_consent=True)
    assert done.emails == ["a@example.com"]
    assert [Path(name).name for name in done.importer.untold] == ["0.csv"]
    assert any("it doesn't tell consent, which --ignore-consent ignores" in note for note in done.importer.warnings)


def test_several_missing_consent_columns_are_all_named(run_import: Import) -> None:
    """An export that lacks both columns by which its tool tells consent needs both again."""
    lacking = "has no columns Email Marketing Consent and Email Suppressions, which tell who .* again with them, or"
    with pytest.raises(UsageError, match=lacking):
        run_import("Email,Klaviyo ID\na@example.com,1\n")


def test_ignoring_consent_ignores_only_what_is_missing(run_import: Import) -> None:
    """A row that says no stays out, also in an export that lacks another column."""
    done = run_import(
        "Email,Klaviyo ID,Email Marketing Consent\na@example.com,1,UNSUBSCRIBED\nb@example.com,2,SUBSCRIBED\n",
        ignore_consent=True,
    )
    assert done.emails == ["b@example.com"]
    assert done.rejects == [(2, "unsubscribed")]


def test_conditions_apply_beside_the_preset(run_import: Import) -> None:
    """A row needs the consent that the tool tells and that which the command asks for."""
    text = KLAVIYO.replace("\n", ",vip\n") + "a@example.com,1,SUBSCRIBED,[],no\nb@example.com,2,SUBSCRIBED,[],yes\n"
    done = run_import(text + "c@example.com,3,UNSUBSCRIBED,[],yes\n", consent=[parse_consent("vip=yes")])
    assert done.emails == ["b@example.com"]
    assert done.rejects == [(2, "no_consent"), (4, "unsubscribed")]


@pytest.mark.parametrize(
    ("channel", "own", "jobs"), [("whatsapp", "", 1), ("sms", "", 0), ("whatsapp", "sms", 0), ("sms", "whatsapp", 1)]
)
def test_text_messages_need_their_own_consent(run_import: Import, channel: str, own: str, jobs: int) -> None:
    """In rows for sms the export must tell consent to e-mails and to text messages."""
    text = SHOPIFY.replace("\n", ",channel\n") + f"'1,a@example.com,yes,no,{own}\n'2,b@example.com,no,yes,{own}\n"
    done = run_import(text, channel=channel)
    assert len(done.jobs) == jobs
    assert done.importer.rejected["no_consent"] == 2 - jobs


def test_nulls_are_blank_and_errors_no_consent(run_import: Import) -> None:
    """What a database writes for no value is blank, and what a spreadsheet writes for an error is no consent."""
    text = "email,unsubscribed_from_emails_at\na@example.com,NULL\nb@example.com,\\N\nc@example.com,#REF!\n"
    done = run_import(text)
    assert done.emails == ["a@example.com", "b@example.com"]
    assert done.rejects == [(4, "unsubscribed")]
    assert run_import(SHOPIFY + "1,a@example.com,#N/A,yes\n").rejects == [(2, "no_consent")]


def test_an_opt_out_that_comes_late_in_json(tmp_path: Path) -> None:
    """JSON leaves blank keys out, so an opt-out counts although no object at the start of the file has its key."""
    row = '{{"braze_id": "{0}", "email": "u{0}@example.com", "email_subscribe": "opted_in"{1}}}'
    late = ', "unsubscribed_from_emails_at": "2025-01-01T00:00:00Z"'
    lines = [row.format(number, late if number == SAMPLE + 1 else "") for number in range(SAMPLE + 3)]
    jobs, importer = run_files(tmp_path, {"users.jsonl": "\n".join(lines)})
    assert len(jobs) == SAMPLE + 2
    assert importer.rejected == {"unsubscribed": 1}


def test_a_list_in_json_is_judged_as_consent_tells(tmp_path: Path) -> None:
    """Klaviyo's suppressions are a list: an empty one is none, any other suppresses. `--consent` can't mean a list."""
    row = '{"Klaviyo ID": "1", "Email": "%s@example.com", "Email Marketing Consent": %s, "Email Suppressions": %s}'
    rows = [("a", '"SUBSCRIBED"', "[]"), ("b", '"SUBSCRIBED"', '["USER_SUPPRESSED"]'), ("c", '["SUBSCRIBED"]', "null")]
    jobs, importer = run_files(tmp_path, {"k.jsonl": "\n".join(row % told for told in rows)})
    assert [job.customer.email for job in jobs] == ["a@example.com"]
    assert importer.rejected == {"suppressed": 1, "no_consent": 1}
    conditions = [parse_consent("Email Suppressions!=USER_SUPPRESSED")]
    jobs, importer = run_files(
        tmp_path,
        {"k.jsonl": "\n".join(row % told for told in rows)},
        preset="none",
        consent=conditions,
        mapping={"customer_email": "Email"},
    )
    assert [job.customer.email for job in jobs] == ["c@example.com"]
    assert importer.rejected == {"not_text": 2}


def test_the_first_sign_of_a_tool_that_comes_late_in_json(tmp_path: Path) -> None:
    """An opt-out counts too where nothing else in the file tells the tool, unless `--preset none` switches it off."""
    late = ', "unsubscribed_from_emails_at": "2025-01-01T00:00:00Z"'
    lines = [
        f'{{"customer_email": "u{number}@example.com"{late if number == SAMPLE + 1 else ""}}}'
        for number in range(SAMPLE + 3)
    ]
    jobs, importer = run_files(tmp_path, {"users.jsonl": "\n".join(lines)})
    assert len(jobs) == SAMPLE + 2
    assert importer.rejected == {"unsubscribed": 1}
    jobs, importer = run_files(tmp_path, {"users.jsonl": "\n".join(lines)}, preset="none")
    assert len(jobs) == SAMPLE + 3


def test_unknown_values_are_told(tmp_path: Path, run_import: Import) -> None:
    """A value that nobody knows keeps its rows out with one note for each value; what is known or blank needs none."""
    rows = "".join(
        f"p{number}@example.com,{number},{value},[]\n"
        for number, value in enumerate(("EXPLICIT", "explicit", "NEVER_SUBSCRIBED", "", "+15555550101"))
    )
    done = run_import(KLAVIYO + rows)
    assert done.importer.rejected == {"no_consent": 5}
    notes = [note for note in done.importer.warnings if "left out" in note]
    assert len(notes) == 3
    assert (
        "rows with the Email Marketing Consent 'EXPLICIT' are left out, since klaviyo is not known to mean" in notes[0]
    )
    assert "5550101" not in "".join(notes)
    _, importer = run_files(tmp_path, {"{0}.csv": KLAVIYO + rows})
    assert f"{tmp_path}/{{0}}.csv: rows with the Email Marketing Consent 'EXPLICIT'" in importer.warnings[1]
    text = "EMAIL,EMAIL_BLACKLISTED\na@example.com,no\nb@example.com,yes\n"
    assert len(run_import(text).importer.warnings) == 1
    assert len(run_import(SHOPIFY + "1,a@example.com,no,yes\n").importer.warnings) == 1
    omnisend = "Email,Email subscription status,Email opt-in date,SMS subscription status\n"
    assert not any(
        "SMS" in note for note in run_import(omnisend + "a@example.com,Pending,,Other\n").importer.warnings[1:]
    )


def test_two_columns_of_consent_are_refused(run_import: Import) -> None:
    """Which of two columns of one name tells consent is not guessed."""
    with pytest.raises(UsageError, match=r"2 columns could be the column Email Suppressions \(4, 5 from the left\)"):
        run_import(KLAVIYO.replace("\n", ",Email Suppressions\n") + "a@example.com,1,SUBSCRIBED,[],[]\n")


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("subscribed_members_export_1.csv", set()),
        ("Subscribed Members.CSV", set()),
        ("subscribed (1).csv", set()),
        ("Spring list - subscribed_members_export_0de5no7ex.csv", set()),
        ("unsubscribed_members_export_1.csv", {"unsubscribed"}),
        ("cleaned_email_audience_export_1.csv", {"suppressed"}),
        ("nonsubscribed_members_export_1.csv", {"no_consent"}),
        ("non-subscribed.csv", {"no_consent"}),
    ],
)
def test_status_in_the_name(tmp_path: Path, name: str, reasons: set[str]) -> None:
    """Mailchimp tells the status of a file's members by its name alone; a torn row of such a file is no exception."""
    jobs, importer = run_files(tmp_path, {name: f"{MAILCHIMP}\na@example.com,1,2\nb@example.com,1,2\nc@\n"})
    assert len(jobs) == (0 if reasons else 1)
    assert set(importer.rejected) == (reasons or {"doubtful_row", "unreadable_row"})


@pytest.mark.parametrize(
    "name",
    [
        "members.csv",
        "subscribed_and_unsubscribed.csv",
        "unsubscribed_or_cleaned.csv",
        "never subscribed.csv",
        "no-longer-subscribed (1).csv",
        "not yet subscribed.csv",
        "de-subscribed.csv",
        "subscribed until 2024.csv",
        "subscribed_unsubs.csv",
    ],
)
def test_unknown_status(tmp_path: Path, name: str) -> None:
    """A file whose status can't be told is refused with the remedy."""
    files = {name: f"{MAILCHIMP}\na@example.com,1,2\n"}
    with pytest.raises(UsageError, match=r"its name doesn't say whether .* or give --ignore-consent"):
        run_files(tmp_path, files)
    jobs, importer = run_files(tmp_path, files, ignore_consent=True)
    assert len(jobs) == len(importer.untold) == 1


@pytest.mark.parametrize(("column", "reason"), [("UNSUB_TIME", "unsubscribed"), ("CLEAN_TIME", "suppressed")])
def test_status_by_columns(tmp_path: Path, column: str, reason: str) -> None:
    """A renamed file is known by its columns, and a row with such a time stays out of any file."""
    rows = f"{MAILCHIMP},{column}\na@example.com,1,2,2024-01-01\nb@example.com,1,2,\n"
    jobs, importer = run_files(tmp_path, {"members.csv": rows})
    assert (len(jobs), importer.rejected) == (0, {reason: 2})
    jobs, importer = run_files(tmp_path, {"subscribed.csv": rows})
    assert (len(jobs), importer.rejected) == (1, {reason: 1})


def test_corrected_rows_of_a_status_in_the_name(tmp_path: Path) -> None:
    """In a rejects file whose name tells no status, a row is sent if another reason than its status kept it out."""
    files = {
        "subscribed.csv": f"{MAILCHIMP}\nno address,1,2\n",
        "nonsubscribed.csv": f"{MAILCHIMP}\nb@example.com,1,2\n",
        "cleaned.csv": f"{MAILCHIMP},CLEAN_TIME\nc@example.com,1,2,2024-01-01\n",
    }
    run_files(tmp_path, files)
    corrected = (tmp_path / "rejects.csv").read_text().replace("no address", "a@example.com")
    jobs, importer = run_files(tmp_path, {"corrected.csv": corrected}, rejects=tmp_path / "again.csv")
    assert [job.customer.email for job in jobs] == ["a@example.com"]
    assert importer.rejected == {"no_consent": 1, "suppressed": 1}


def test_a_suppression_list_beside_contacts(tmp_path: Path) -> None:
    """Nobody on it is written to, as a customer or as a friend; it makes no jobs and counts as no rejected rows."""
    files = {
        "contacts.csv": CONTACTS.replace("\n", ",destination\n")
        + "1,a@example.com,,x@example.org\n2,B@example.com,,y@example.org\n3,c@example.com,,Z@Example.org\n",
        "bounces.csv": BOUNCES + "b@example.com,,TRUE,,\nz@example.org,mailbox full,,,\n",
    }
    jobs, importer = run_files(tmp_path, files, channel="email")
    assert [job.customer.email for job in jobs] == ["a@example.com"]
    assert importer.rejected == {"unsubscribed": 1, "suppressed": 1}
    assert (importer.rows, importer.rows_of, importer.suppressed) == (3, [3, 2], 2)
    assert any("bounces.csv: read as hubspot-suppressions" in note for note in importer.warnings)


def test_a_suppression_list_stays_one_without_presets(tmp_path: Path) -> None:
    """`--preset none` for the contacts doesn't turn the people of a list beside them into jobs."""
    files = {
        "contacts.csv": "Mail\na@example.com\nb@example.com\n",
        "bounces.csv": BOUNCES + "b@example.com,,TRUE,,\n",
    }
    jobs, _ = run_files(tmp_path, files, preset="none", mapping={"customer_email": "Mail"})
    assert [job.customer.email for job in jobs] == ["a@example.com"]


def test_an_address_within_another_text_is_on_the_list(tmp_path: Path) -> None:
    """`mailto:` and a name around an address keep nobody from being found on a suppression list."""
    spelled = ("mailto:b@example.com", "<c@example.com>", '"Dora <D@example.com>"')
    files = {
        "contacts.csv": CONTACTS + "".join(f"{number},{name}@example.com,\n" for number, name in enumerate("abcd")),
        "bounces.csv": BOUNCES + "".join(f"{address},,TRUE,,\n" for address in spelled),
    }
    jobs, importer = run_files(tmp_path, files)
    assert [job.customer.email for job in jobs] == ["a@example.com"]
    assert importer.suppressed == 3


def test_a_suppression_list_stays_one_under_another_preset(tmp_path: Path) -> None:
    """`--preset hubspot` for all exports doesn't turn a list of bounces into contacts; `--map` need not fit it."""
    files = {
        "contacts.csv": "Record ID,Mail,Unsubscribed from all email\n1,a@example.com,\n2,b@example.com,\n",
        "bounces.csv": BOUNCES + "b@example.com,,TRUE,,\n",
    }
    conditions = [parse_consent("Record ID!=")]
    jobs, _ = run_files(tmp_path, files, preset="hubspot", mapping={"customer_email": "Mail"}, consent=conditions)
    assert [job.customer.email for job in jobs] == ["a@example.com"]


@pytest.mark.parametrize("preset", ["hubspot", "shopify", "none"])
def test_what_may_be_a_suppression_list_is_not_read_as_contacts(tmp_path: Path, preset: str) -> None:
    """`--preset` alone doesn't turn people of a list into jobs, unless their consent is told in it too."""
    header = "Record ID,Email,Portal Bounce,Portal Unsubscribe"
    files = {"both.csv": f"{header}\n2,b@example.com,,TRUE\n"}
    with pytest.raises(UsageError, match=r"both.csv: looks like the suppression list hubspot-suppressions by Portal"):
        run_files(tmp_path, files, preset=preset, ignore_consent=True, mapping={"customer_email": "Email"})
    told = f"{header},Unsubscribed from all email\n2,b@example.com,,,false\n3,c@example.com,,,true\n"
    jobs, importer = run_files(tmp_path, {"both.csv": told}, preset="hubspot")
    assert [job.customer.email for job in jobs] == ["b@example.com"]
    assert importer.rejected == {"unsubscribed": 1}


def test_a_suppression_list_alone(tmp_path: Path) -> None:
    """It is not run as a campaign."""
    with pytest.raises(UsageError, match="is a suppression list, whose rows become no jobs; give the export"):
        run_files(tmp_path, {"bounces.csv": BOUNCES + "b@example.com,,TRUE,,\n"})


def test_a_suppression_list_that_is_damaged(tmp_path: Path) -> None:
    """A row of it that can't be read is somebody who would be written to, so nothing is sent."""
    files = {"contacts.csv": CONTACTS + "1,b@example.com,\n", "bounces.csv": BOUNCES + "b@example.com,,TRUE\n"}
    with pytest.raises(InputError, match=r"bounces.csv: line 2 can't be read \(unreadable_row\)"):
        run_files(tmp_path, files)


def test_a_suppression_list_with_an_address_that_was_not_calculated(tmp_path: Path) -> None:
    """Nobody knows whose it is."""
    files = {"contacts.csv": CONTACTS + "1,b@example.com,\n", "bounces.csv": BOUNCES + "#VALUE!,,TRUE,,\n"}
    with pytest.raises(InputError, match=r"bounces.csv: line 2 can't be read \(spreadsheet_error\)"):
        run_files(tmp_path, files)


def test_a_suppression_list_that_is_cut_off(tmp_path: Path) -> None:
    """Whoever is missing from it would be written to; an export of contacts that is cut off lacks their rows only."""
    cut = '[{"Email": "a@example.com", "Portal Bounce": "x", "Portal Unsubscribe": ""}'
    files = {"contacts.csv": CONTACTS + "1,b@example.com,\n", "bounces.json": cut}
    with pytest.raises(InputError, match=r"bounces.json: ends before its JSON array does, and whoever is missing"):
        run_files(tmp_path, files)


def test_unsubscribed_members_veto_other_exports(tmp_path: Path) -> None:
    """Who unsubscribed by one file of a command is not written to by another one."""
    files = {
        "shopify.csv": SHOPIFY + "'1,a@example.com,yes,no\n'2,b@example.com,yes,no\n",
        "unsubscribed.csv": f"{MAILCHIMP}\nB@example.com,1,2\n",
    }
    jobs, importer = run_files(tmp_path, files)
    assert [job.customer.email for job in jobs] == ["a@example.com"]
    assert importer.rejected == {"unsubscribed": 2}


def test_files_without_a_header(tmp_path: Path) -> None:
    """They are known by Attentive's names of files or by `--preset`; a file that has a header keeps it."""
    name = "acme_subscriber_segment_20260901.csv"
    jobs, importer = run_files(tmp_path, {name: "a@example.com\nb@example.com\n"})
    assert len(jobs) == 2
    assert "read as attentive, by its name; --preset none switches this off" in importer.warnings[0]
    assert len(run_files(tmp_path, {"list.csv": "a@example.com\nb@example.com\n"}, preset="attentive")[0]) == 2
    assert len(run_files(tmp_path, {name: "customer_email\na@example.com\n"})[0]) == 1
    with pytest.raises(UsageError, match="no column for the customer"):
        run_files(tmp_path, {"list.csv": "a@example.com\nb@example.com\n"})


@pytest.mark.parametrize("preset", ["yotpo", "attentive", "mailchimp"])
def test_a_preset_without_columns_of_consent_passes_over_no_other_tools(run_import: Import, preset: str) -> None:
    """`--preset yotpo` for an export of Klaviyo would write to people whose row says UNSUBSCRIBED."""
    with pytest.raises(UsageError, match=f"--preset {preset} would pass over the consent that klaviyo tells"):
        run_import(KLAVIYO + "a@example.com,1,UNSUBSCRIBED,[]\n", preset=preset, mapping={"customer_email": "Email"})


def test_two_columns_of_consent_that_differ_in_case_are_refused(run_import: Import) -> None:
    """Either of them may hold the no, so the one that is spelled as the preset spells it doesn't decide."""
    header = KLAVIYO.replace("Consent,", "Consent,email marketing consent,")
    with pytest.raises(UsageError, match="2 columns could be the column Email Marketing Consent"):
        run_import(header + "a@example.com,1,SUBSCRIBED,UNSUBSCRIBED,[]\n")
