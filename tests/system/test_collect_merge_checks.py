"""What `collect --merge` refuses: before it takes a single result from RabbitMQ, since those come once."""

import itertools
from pathlib import Path

import pytest

from tests.system.commands import Desk

NOWHERE = "amqp://127.0.0.1:9"
"""A RabbitMQ that nobody can reach: whoever asks for results fails with exit code 1."""

SPRING = "customer_shopid,customer_email\nc1,a@example.org\n"
MERGE = ("--merge", "spring.csv", "--out", "merged.csv")


def prepare(folder: Path) -> None:
    """The export, one that was merged before, and what else is refused."""
    files = {
        "spring.csv": SPRING,
        "again.csv": SPRING.replace("\n", ",referral_outcome\n", 1),
        "again.jsonl": '{"customer_shopid":"1","referral_link":"x"}\n',
        "two.csv": "Record ID,record-id,customer_shopid\n1,2,3\n",
        "list.csv": SPRING,
        "spring.csv.results.csv": SPRING,
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "seven.csv").write_bytes(b"customer_shopid\n1\n")
    (folder / "array.json").write_bytes('[{"customer_shopid":"1"}]'.encode("utf-16"))


ANYWHERE = [
    (("--out", "results.csv", "--link-column", "Link"), "--campaign and the options after it say how an export"),
    (("--out", "results.csv", "--campaign", ""), "--campaign and the options after it say how an export"),
    (("--merge", "spring.csv"), "--merge: needs --out, the file for the merged export"),
    (("--merge", "spring.csv", "--out", "."), "--out .: has no name for the results beside it"),
    ((*MERGE, "--format", "jsonl"), "--format: can't be combined with --merge"),
    ((*MERGE, "--campaign", " "), "--campaign: is blank"),
    ((*MERGE, "--map", "customer_email"), "--map customer_email: write it as FIELD=COLUMN"),
    ((*MERGE, "--map", "customer_email=Mail"), "spring.csv: --map customer_email=Mail: no such column"),
    ((*MERGE, "--consent", "yes"), "--consent yes: "),
    ((*MERGE, "--consent", "ok=yes"), "spring.csv: --consent ok: no such column"),
    ((*MERGE, "--preset", "nobody"), "--preset nobody: is not known"),
    ((*MERGE, "--channel", "emial"), "--channel emial: is not a known channel"),
    ((*MERGE, "--encoding", "utf-99"), "--encoding utf-99: is not a known text encoding"),
    ((*MERGE, "--encoding", "utf-16"), "spring.csv: has no byte order mark; give --encoding utf-16-le"),
    (("--merge", "missing.csv", "--out", "merged.csv"), "missing.csv: "),
    (("--merge", "spring.csv", "--out", "none/merged.csv"), "none: there is no such folder for merged.csv"),
]
"""Refused wherever the results go and whatever is written of them."""

WHOLE = [
    (("--merge", "again.csv", "--out", "merged.csv"), "again.csv: has a column referral_outcome already"),
    (("--merge", "again.jsonl", "--out", "merged.csv"), "again.jsonl: line 1: has a column referral_link already"),
    (("--merge", "seven.csv", "--out", "m.csv", "--encoding", "utf-7"), "seven.csv: nothing can be merged into text"),
    (("--merge", "array.json", "--out", "m.json"), "array.json: nothing can be put into an array in UTF-16"),
    (("--merge", "spring.csv", "--out", "list.csv"), "list.csv: is no merged export and would be replaced"),
    (("--merge", "spring.csv", "--out", "spring.csv"), "spring.csv: is read by this command, and --out would"),
]
UPLOADS = [
    (("--merge", "spring.csv", "--out", "merged", "--for", "klaviyo"), "--out merged: importers know a file by its"),
    ((*MERGE, "--for", "nobody"), "--for nobody: is none of the tools"),
    ((*MERGE, "--for", "klaviyo", "--link-column", "Tags"), "--link-column Tags: means something else to klaviyo"),
    (("--merge", "spring.csv", "--out", "list.csv", "--for", "klaviyo"), "list.csv: is there already"),
    (("--merge", "two.csv", "--out", "l.csv", "--for", "hubspot"), "two.csv: has 2 columns 'Record ID'"),
]


def cases() -> list[tuple[tuple[str, ...], str]]:
    """By turns with results in a file and in PostgreSQL; what is refused of both kinds of output, with either."""
    uploads = [((*arguments, "--for", "klaviyo"), problem) for arguments, problem in ANYWHERE[5:]]
    stores = itertools.cycle([(), ("--postgres", "postgresql://127.0.0.1:9/none", "--campaign", "spring"), ()])
    return [
        (arguments + (next(stores) if "--merge" in arguments else ()), problem)
        for arguments, problem in [*ANYWHERE, *uploads, *WHOLE, *UPLOADS]
    ]


@pytest.mark.parametrize(("arguments", "problem"), cases())
def test_nothing_is_collected(desk: Desk, arguments: tuple[str, ...], problem: str) -> None:
    """It is one line, and no result was asked for; what was there is as it was."""
    prepare(desk.folder)
    before = {path.name: path.read_bytes() for path in desk.folder.iterdir() if path.is_file()}
    done = desk.run("collect", *arguments, REFERRALS_AMQP_URL=NOWHERE)
    assert done.stderr.startswith(f"referrals: {problem}"), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.returncode in (1, 2)
    after = {path.name: path.read_bytes() for path in desk.folder.iterdir() if path.is_file()}
    assert after == before


def test_results_of_an_earlier_campaign(desk: Desk) -> None:
    """They may be in the file that is gone on with, so the campaign must be named: links are not taken from another."""
    prepare(desk.folder)
    (desk.folder / "merged.csv.results.csv").write_text("")
    done = desk.run("collect", *MERGE, REFERRALS_AMQP_URL=NOWHERE)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "--campaign: is missing; merged.csv.results.csv may keep results of earlier campaigns" in done.stderr


def test_results_that_would_come_into_an_export(desk: Desk) -> None:
    """The export that has the name of the results beside the merged one stays as it is."""
    prepare(desk.folder)
    done = desk.run("collect", "--merge", "spring.csv.results.csv", "--out", "spring.csv", REFERRALS_AMQP_URL=NOWHERE)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "spring.csv.results.csv: is to be merged into" in done.stderr
    assert (desk.folder / "spring.csv.results.csv").read_text() == SPRING
