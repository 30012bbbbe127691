"""``referrals plan`` from outside, and the plans of ``publish`` and ``run``: what they say, leave, and end with."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.system.commands import Desk
from tests.system.terminal import Terminal

OPTIONS = ("spring.csv", "--shop", "acme", "--campaign", "spring", "--channel", "whatsapp")
KLAVIYO = "Email,Klaviyo ID,Email Marketing Consent,Email Suppressions"


@pytest.fixture
def alone(tmp_path: Path) -> Desk:
    """A desk without RabbitMQ and store."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("REFERRALS_", "PROMETHEUS_"))}
    desk = Desk(tmp_path, clean | {"TZ": "Europe/Vienna"})
    desk.write_shops("http://127.0.0.1:1", ["acme"])
    return desk


def write(desk: Desk, rows: int, said_no: int = 0) -> None:
    """An export with so many rows, of which the first ones are of people who unsubscribed."""
    consents = ["UNSUBSCRIBED"] * said_no + ["SUBSCRIBED"] * (rows - said_no)
    lines = [f"c{number}@mail.example.org,K{number},{consent},[]" for number, consent in enumerate(consents)]
    (desk.folder / "spring.csv").write_text("\n".join([KLAVIYO, *lines, ""]))


def test_a_plan_says_everything_and_leaves_nothing_behind(alone: Desk) -> None:
    """Its JSON has exactly the documented keys; no file is written, and no address is shown."""
    write(alone, 300, said_no=20)
    before = sorted(alone.folder.iterdir())
    done = alone.run("plan", *OPTIONS, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    (shop,) = found["shops"].values()
    assert shop.pop("done_at").endswith("Z")
    assert shop.pop("starts_at").endswith("Z")
    assert shop.pop("seconds") == pytest.approx(3, abs=1)
    assert found == {
        "exports": [
            {
                "file": "spring.csv",
                "preset": "klaviyo",
                "format": "csv",
                "encoding": "utf-8",
                "delimiter": ",",
                "rows": 300,
            }
        ],
        "rows": 300,
        "jobs": 280,
        "rejected": {"unsubscribed": 20},
        "examples": {"unsubscribed": [{"file": "spring.csv", "line": line, "row": line} for line in (2, 3, 4)]},
        "done_already": 0,
        "predicted": None,
        "shops": {
            "acme": {
                "jobs": 280,
                "days": 1,
                "opens_at": None,
                "closed_hours": [],
                "calls_per_second": None,
                "calls_per_day": None,
                "held_back": 0,
                "first_done_at": None,
            }
        },
    }
    shown = alone.run("plan", *OPTIONS)
    assert "  unsubscribed   20  line 2 (c…@m….org), line 3 (c…@m….org), line 4 (c…@m….org)\n" in shown.stdout
    assert "mail.example.org" not in shown.stdout + shown.stderr
    assert sorted(alone.folder.iterdir()) == before


def test_a_plan_fits_a_terminal(alone: Desk) -> None:
    """A usual campaign takes one screen of 80 columns and 24 lines, with times in local time and in UTC."""
    write(alone, 5000, said_no=20)
    with Terminal(alone, "plan", *OPTIONS) as terminal:
        lines = [line.rpartition("\r")[2] for line in terminal.whole()]
    shown = [line for line in lines if not line.startswith(("note:", "\x1b"))]
    assert len(lines) <= 24
    assert max(map(len, shown)) <= 80
    assert any("acme: 4,980 jobs, done in 50 s, at 20" in line and "UTC)" in " ".join(lines) for line in shown)
    assert "--threads 32 changes nothing: acme's limit is 100 calls a second" in lines


def test_rejected_rows_are_written_where_the_command_says(alone: Desk) -> None:
    """Only to the file that --rejects names."""
    write(alone, 5, said_no=2)
    done = alone.run("plan", *OPTIONS, "--rejects", "out.csv")
    assert done.stdout.endswith("rows left out are in out.csv\n")
    assert [line.split(",")[:2] for line in (alone.folder / "out.csv").read_text().splitlines()[1:]] == [
        ["2", "unsubscribed"],
        ["3", "unsubscribed"],
    ]


@pytest.mark.parametrize(
    ("most", "code", "said"),
    [
        ("2", 0, ""),
        ("1", 1, "referrals: 2 of 10 rows are left out, more than --max-rejects 1 allows\n"),
        ("20%", 0, ""),
        ("19.9%", 1, "referrals: 2 of 10 rows are left out, more than --max-rejects 19.9% allows\n"),
        ("5 rows", 2, "referrals: --max-rejects 5 rows: is neither a number of rows nor a share such as 5%\n"),
    ],
)
@pytest.mark.parametrize(
    "command", [("plan",), ("publish",), ("run", "--out", "results.csv")], ids=["plan", "publish", "run"]
)
def test_too_many_rejects_end_the_command(alone: Desk, command: Sequence[str], most: str, code: int, said: str) -> None:
    """With exit code 1 and one line, before anything is sent."""
    write(alone, 10, said_no=2)
    before = sorted(alone.folder.iterdir())
    dry = () if command == ("plan",) else ("--dry-run",)
    done = alone.run(*command, *OPTIONS, "--max-rejects", most, *dry)
    assert done.returncode == code
    assert done.stderr.endswith(said)
    if dry and code:
        sent = alone.run(*command, *OPTIONS, "--max-rejects", most)
        assert (sent.returncode, sent.stdout) == (code, "")
        assert sent.stderr.endswith(said)
    assert sorted(alone.folder.iterdir()) == before


def test_a_dry_run_needs_no_place_for_results(alone: Desk) -> None:
    """Nothing is written, so nothing has to be named; a run without a place is refused before anything is read."""
    write(alone, 30)
    options = ("spring.csv", "--sandbox", "--campaign", "spring", "--channel", "whatsapp")
    before = sorted(alone.folder.iterdir())
    dry = alone.run("run", *options, "--dry-run", "--json")
    assert dry.returncode == 0, dry.stderr
    assert json.loads(dry.stdout)["jobs"] == 30
    real = alone.run("run", *options)
    assert (real.returncode, real.stdout) == (2, "")
    assert real.stderr == (
        "referrals: --out: needs a file for the results; only --dry-run goes without, as it writes none\n"
    )
    assert sorted(alone.folder.iterdir()) == before


def test_a_dry_run_knows_what_the_journal_knows(alone: Desk) -> None:
    """Jobs of an earlier run are done already; the dry run changes neither journal nor results."""
    write(alone, 30)
    options = ("spring.csv", "--sandbox", "--campaign", "spring", "--channel", "whatsapp", "--out", "results.csv")
    assert alone.run("run", *options, "--limit", "10").returncode == 0
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in alone.folder.glob("results*")}
    done = alone.run("run", *options, "--dry-run", "--json")
    found = json.loads(done.stdout)
    assert (found["jobs"], found["done_already"], found["shops"]["sandbox-shop"]["jobs"]) == (30, 10, 20)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in alone.folder.glob("results*")} == before


def a_link(journal: Path) -> None:
    (journal.parent / "elsewhere").write_text("")
    journal.symlink_to("elsewhere")


def a_folder(journal: Path) -> None:
    journal.mkdir()


def a_file_of_somebody_else(journal: Path) -> None:
    journal.write_text("name,address\n")


def another_campaign(journal: Path) -> None:
    journal.write_text('{"event":"campaign","version":1,"campaign":"autumn"}\n')


def a_real_run(journal: Path) -> None:
    journal.write_text('{"event":"campaign","version":1,"campaign":"spring","sandbox":false}\n')


def damage_in_the_middle(journal: Path) -> None:
    header = '{"event":"campaign","version":1,"campaign":"spring","sandbox":true}\n'
    journal.write_text(f'{header}{{"event":"started"\n{header}')


def results_without_it(journal: Path) -> None:
    journal.with_suffix("").write_text("line,reference\n")


@pytest.mark.parametrize(
    "left",
    [
        a_link,
        a_folder,
        a_file_of_somebody_else,
        another_campaign,
        a_real_run,
        damage_in_the_middle,
        results_without_it,
    ],
)
def test_a_dry_run_refuses_what_the_run_would(alone: Desk, left: Callable[[Path], None]) -> None:
    """In the same line: a plan beside files that the run can't use would promise what can't be."""
    write(alone, 5)
    left(alone.folder / "results.csv.journal")
    options = ("spring.csv", "--sandbox", "--campaign", "spring", "--channel", "whatsapp", "--out", "results.csv")
    dry = alone.run("run", *options, "--dry-run")
    ran = alone.run("run", *options)
    assert (dry.stdout, dry.returncode) == ("", ran.returncode)
    assert dry.stderr.splitlines() == ran.stderr.splitlines()[-1:]
    assert dry.returncode in (1, 2)


def test_what_can_not_be_asked_is_one_line_each(alone: Desk) -> None:
    """Without RabbitMQ and store a plan for workers is made all the same."""
    write(alone, 5)
    done = alone.run(
        "plan", *OPTIONS, "--json", REFERRALS_AMQP_URL="amqp://127.0.0.1:1", REFERRALS_REDIS_URL="redis://127.0.0.1:1"
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["shops"]["acme"]["jobs"] == 5
    remarks = [line for line in done.stderr.splitlines() if line.startswith("referrals: counted")]
    assert [line.partition(":")[2].partition(":")[0] for line in remarks] == [
        " counted with one worker and without the jobs that are queued already",
        " counted without pauses and the calls made today",
    ]


def test_standard_input_that_is_closed(alone: Desk) -> None:
    """Without a standard input there is one line that says so, and no fault."""
    command = [sys.executable, "-m", "worker", "plan", "-", "--shop", "acme", "--campaign", "spring"]
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *command],
        cwd=alone.folder,
        env=alone.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("referrals: -: standard input is closed")
