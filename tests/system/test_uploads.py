"""From each tool's golden export, by a run and `merge --for`, to the files that the tool's importer takes."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.importers import IMPORTERS, Line, parts_of
from tests.system.commands import Desk
from tests.system.terminal import Terminal
from tests.system.test_golden_exports import GOLDEN, expected, exports_of
from tests.system.test_on_a_terminal import COLOUR, joined, seen

ROOT = Path(__file__).parents[2]
OPTIONS = ("--campaign", "spring", "--channel", "whatsapp")
MERGE = (*OPTIONS, "--shop", "sandbox-shop", "--from", "results.csv")
UPLOAD = ("merge", "klaviyo_list.csv", *MERGE, "--for", "klaviyo", "--out", "links.csv")
REAL = "https://acme.example.com/"


def bare(folder: Path) -> Desk:
    """A desk without services: neither a run nor a merge needs any."""
    return Desk(folder, {name: value for name, value in os.environ.items() if not name.startswith("REFERRALS_")})


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A folder of its own, without services."""
    made = bare(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def klaviyo_sent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of Klaviyo's golden export, which several tests merge."""
    made = bare(tmp_path_factory.mktemp("sent"))
    send(made, *exports_of("klaviyo"))
    return made.folder / "results.csv"


@pytest.fixture
def klaviyo(desk: Desk, klaviyo_sent: Path) -> Desk:
    """A desk with Klaviyo's golden export and its results."""
    shutil.copy(GOLDEN / "klaviyo" / "klaviyo_list.csv", desk.folder)
    shutil.copy(klaviyo_sent, desk.folder)
    return desk


def send(desk: Desk, *exports: str) -> None:
    """A run whose results look like real ones: without what marks the emulator's links and texts."""
    ran = desk.run("run", *exports, *OPTIONS, "--sandbox", "--out", "results.csv", "--rejects", "rejects.csv")
    assert ran.returncode == 0, ran.stderr
    look_real(desk.folder / "results.csv")


def look_real(results: Path) -> None:
    """Take off what marks the emulator's links and texts."""
    results.write_text(results.read_text().replace("https://sandbox.invalid/", REAL).replace("SANDBOX: ", ""))


def links_of(desk: Desk) -> dict[str, str]:
    """The link of each person by whatever the results name them: reference, shop id or address."""
    found = {}
    for result in desk.results():
        assert result["outcome"] == "sent"
        for name in ("reference", "customer_shopid", "customer_email"):
            found[result[name]] = result["link"]
    return found


def read_back(desk: Desk, tool: str, name: str = "links.csv") -> list[Line]:
    """The lines of an upload, by an importer that knows nothing of who wrote it."""
    return [line for path in parts_of(desk.folder / name) for line in IMPORTERS[tool].read(path)]


@pytest.mark.parametrize("tool", IMPORTERS)
def test_every_golden_export_comes_back_as_its_tool_takes_it(desk: Desk, tool: str) -> None:
    """Each person of the campaign once, by the identifier that the export has, with their own link, and nobody else."""
    send(desk, *exports_of(tool))
    done = desk.run("merge", *exports_of(tool), *MERGE, "--for", tool, "--out", "links.csv", "--json")
    assert done.returncode == 0, done.stderr

    lines, links, summary = read_back(desk, tool), links_of(desk), json.loads(done.stdout)
    jobs = expected(tool)["jobs"]
    assert len(lines) == len(jobs) == summary["uploaded"]
    column = summary["link_column"]
    identifier = summary["files"][0]["identifier"]
    assert all(line[column] == links[line[identifier]] for line in lines)
    assert len({line[column] for line in lines}) == len(jobs)
    assert summary["not_uploaded"] == {"not_sent": len(expected(tool)["rejected"])}
    assert summary["rows"] == len(jobs) + len(expected(tool)["rejected"])
    # An app knows what a CSV is by its name, and `links.csv` doesn't say it.
    assert ("by 'customer' in its name" in done.stderr) == (tool == "shopify")


def test_a_rehearsal_makes_no_upload(desk: Desk) -> None:
    """One line that says so, exit code 1, and no file: its links would reach everybody."""
    export = exports_of("klaviyo")
    ran = desk.run("run", *export, *OPTIONS, "--sandbox", "--out", "results.csv", "--rejects", "rejects.csv")
    assert ran.returncode == 0, ran.stderr
    done = desk.run("merge", *export, *MERGE, "--for", "klaviyo", "--out", "links.csv")
    assert done.returncode == 1
    assert "results of a rehearsal" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(desk.folder.glob("links*"))


def test_links_that_mailchimp_would_cut_are_counted(desk: Desk) -> None:
    """A link of 256 bytes is left out with a warning, one of 255 is in the file; where nobody is left, none is made."""
    send(desk, *exports_of("mailchimp"))
    long, longer = (REAL + "é" * ((255 - len(REAL)) // 2) + tail for tail in ("", "xx"))
    first, second = (result["link"] for result in desk.results())
    results = desk.folder / "results.csv"
    whole = results.read_text()
    merge = ("merge", *exports_of("mailchimp"), *MERGE, "--for", "mailchimp", "--out")

    results.write_text(whole.replace(first, long).replace(second, longer))
    done = desk.run(*merge, "links.csv")
    assert done.returncode == 0, done.stderr
    assert [line["Referral Link"] for line in read_back(desk, "mailchimp")] == [long]
    assert "longer than the 255 bytes that a field of mailchimp takes, which would cut it: 1" in done.stderr

    results.write_text(whole.replace(first, longer).replace(second, longer + "x"))
    done = desk.run(*merge, "none.csv")
    assert done.returncode == 1
    assert "no file was written: no row has a link to upload" in done.stderr
    assert not list(desk.folder.glob("none*"))


@pytest.mark.parametrize(
    ("options", "code", "line"),
    [
        ({"--for": "hotmail"}, 2, "--for hotmail: is none of the tools"),
        ({"--for": "", "--link-column": "My Link"}, 2, "--link-column: names a column of the files of --for"),
        ({"--for": "brevo", "--link-column": "Link"}, 2, "brevo takes capitals"),
        ({"--link-column": "Tags"}, 2, "means something else"),
        ({"--out": "klaviyo_list.csv"}, 2, "klaviyo_list.csv: is there already"),
        ({"--out": "links.txt"}, 2, "let it end in .csv"),
        ({"--channel": "sms"}, 1, "of the channel"),
    ],
)
def test_what_can_not_be_is_one_line(klaviyo: Desk, options: dict[str, str], code: int, line: str) -> None:
    """Named with its remedy; the export stays as it is, and no file is left."""
    export = klaviyo.folder / "klaviyo_list.csv"
    before = export.read_bytes()
    given = dict(zip(MERGE[::2], MERGE[1::2], strict=True)) | {"--for": "klaviyo", "--out": "links.csv"} | options
    arguments = [part for name, value in given.items() if value for part in (name, value)]
    done = klaviyo.run("merge", "klaviyo_list.csv", *arguments)
    assert done.returncode == code, done.stderr
    (said,) = [text for text in done.stderr.splitlines() if not text.startswith("note: ")]
    assert line in said
    assert export.read_bytes() == before
    assert not list(klaviyo.folder.glob("links*"))


@pytest.mark.parametrize("page", ["README.md", "docs/campaigns.md"])
def test_the_documented_way_from_an_export_to_an_upload(klaviyo: Desk, page: str) -> None:
    """The commands of the page as they stand there, but that nobody is called; what comes out is what Klaviyo takes."""
    text = (ROOT / page).read_text()
    merges = re.findall(r"^referrals (merge .*)$", text, re.MULTILINE)
    runs = re.findall(r"^referrals (run klaviyo_list\.csv .*--out ([a-z-]+\.csv))$", text, re.MULTILINE)
    command, out = runs[0]
    assert any("--for klaviyo" in command for command in merges)
    (klaviyo.folder / "results.csv").unlink()
    ran = klaviyo.run(*shlex.split(command), "--sandbox")
    assert ran.returncode == 0, ran.stderr
    look_real(klaviyo.folder / out)
    for command in merges:
        done = klaviyo.run(*shlex.split(command))
        assert done.returncode == 0, done.stderr
    assert [line["Email"] for line in read_back(klaviyo, "klaviyo")] == ["ann@example.com", "Gus@example.org"]


def test_people_without_an_id_are_in_a_file_of_their_own(desk: Desk) -> None:
    """HubSpot's record ids and addresses don't mix; both files are named with what they begin with."""
    export = "Record ID,Email,Unsubscribed from all email\n007,ann@example.com,\n,ben@example.com,\n"
    (desk.folder / "contacts.csv").write_text(export)
    send(desk, "contacts.csv")
    done = desk.run("merge", "contacts.csv", *MERGE, "--for", "hubspot", "--out", "links.csv")
    assert done.returncode == 0, done.stderr
    first, second = parts_of(desk.folder / "links.csv")
    assert [line["Record ID"] for line in IMPORTERS["hubspot"].read(first)] == ["007"]
    assert [line["Email"] for line in IMPORTERS["hubspot"].read(second)] == ["ben@example.com"]
    assert "links-1.csv (1 rows by Record ID" in done.stdout
    assert "links-2.csv (1 rows by Email" in done.stdout


@pytest.mark.parametrize(("columns", "env"), [(40, {}), (80, {}), (200, {}), (80, {"NO_COLOR": "1"})])
def test_the_summary_on_a_terminal(klaviyo: Desk, columns: int, env: dict[str, str]) -> None:
    """Whatever is said is there at every width, and from 80 columns on no line is wider; no address is shown."""
    with Terminal(klaviyo, *UPLOAD, columns=columns, env=env) as terminal:
        raw = terminal.raw()
        assert terminal.process.returncode == 0, raw
    lines = seen(raw)
    assert max(map(len, lines)) <= max(columns, 80)
    shown = joined(lines)
    assert all(text in shown for text in ("to upload 2", "not sent 6", "links.csv (2 rows by Email")), shown
    assert "@" not in raw
    assert not COLOUR.search(raw) or "NO_COLOR" not in env


def test_the_summary_in_a_pipe(klaviyo: Desk) -> None:
    """A line for each thing, however wide, without colour; the notes are apart."""
    done = klaviyo.run(*UPLOAD, COLUMNS="40")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("for klaviyo")
