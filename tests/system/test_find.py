"""`referrals find`: what a customer was sent, over results files of both formats."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.rabbitmq.tap import tapping
from tests.services import Vhost
from tests.system.commands import Desk
from tests.system.terminal import Terminal
from tests.system.test_collect import KEY, result

EXPORT = [
    {"customer_email": "Ann@mail.example.org", "customer_shopid": "007", "reference": "r1", "note": "call\nher"},
    {"customer_email": "bea@mail.example.org", "customer_shopid": "008", "reference": "r2", "note": ""},
]


@pytest.fixture
def told(desk: Desk) -> Desk:
    """A desk with the results of two rehearsed campaigns, one in each format."""
    desk.env.pop("REFERRALS_AMQP_URL", None)
    desk.write_export("list.csv", EXPORT)
    for campaign in ("spring", "fall"):
        ended = desk.run(
            *("run", "list.csv", "--shop", "acme", "--campaign", campaign, "--channel", "whatsapp", "--sandbox"),
            *("--out", f"{campaign}.csv"),
        )
        assert ended.returncode == 0, ended.stderr
    return desk


FILES = ("--from", "spring.csv", "--from", "fall.csv")


def links(desk: Desk) -> list[str]:
    """Ann's links in both files."""
    return [
        row["link"] for name in ("spring.csv", "fall.csv") for row in desk.results(name) if row["reference"] == "r1"
    ]


@pytest.mark.parametrize("what", ["ann@MAIL.example.org", "007"])
def test_all_campaigns_of_a_customer(told: Desk, what: str) -> None:
    """Each with its link, in the order of time, and without a whole address."""
    ended = told.run("find", what, *FILES)
    assert ended.returncode == 0, ended.stderr
    assert re.findall(r"^  link +(\S+)$", ended.stdout, re.MULTILINE) == links(told)
    assert re.findall(r"^  campaign +(\S+)$", ended.stdout, re.MULTILINE) == ["spring", "fall"]
    assert "nobody was called" in ended.stdout
    assert "mail.example.org" not in ended.stdout + ended.stderr


def test_data_for_a_program(told: Desk) -> None:
    """`--json` has the whole results, masked as well; `--reveal` shows the addresses."""
    masked = told.run("find", links(told)[1].removeprefix("https://"), *FILES, "--json")
    found = json.loads(masked.stdout)
    assert found["total"] == 2
    assert [result["referral"]["link"] for result in found["results"]] == links(told)
    assert "mail.example.org" not in masked.stdout
    shown = told.run("find", "007", *FILES, "--json", "--reveal", "--campaign", "fall")
    (result,) = json.loads(shown.stdout)["results"]
    assert result["customer"] == {"bhid": None, "shopid": "007", "email": "Ann@mail.example.org"}
    assert "email Ann@mail.example.org" in told.run("find", "007", *FILES, "--reveal").stdout


def test_which_row_it_was(told: Desk) -> None:
    """Behind a cell of two lines a spreadsheet shows the row elsewhere than an editor: both numbers are told."""
    assert "line 4 = row 3, reference r2\n" in told.run("find", "008", "--from", "spring.csv").stdout
    (result,) = json.loads(told.run("find", "008", "--from", "spring.csv", "--json").stdout)["results"]
    assert (result["line"], result["row"]) == (4, 3)
    assert {(row["line"], row["row"]) for row in told.results("spring.csv")} == {("2", "2"), ("4", "3")}


def test_there_are_more(told: Desk) -> None:
    """The newest are shown, and a line counts the others."""
    ended = told.run("find", "007", *FILES, "--limit", "1")
    assert re.findall(r"^  campaign +(\S+)$", ended.stdout, re.MULTILINE) == ["fall"]
    assert "these are the newest 1, and there are 1 more; raise --limit" in ended.stderr


def test_nothing_is_found(told: Desk) -> None:
    """Exit code 1 and one line, which doesn't repeat the address."""
    ended = told.run("find", "eve@mail.example.org", *FILES)
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert "no result matches" in line
    assert "mail.example.org" not in line
    ended = told.run("find", "eve@mail.example.org", *FILES, "--json")
    assert (ended.returncode, json.loads(ended.stdout)) == (1, {"total": 0, "every_id": True, "results": []})


def test_what_is_read_from_standard_input(told: Desk) -> None:
    """So an address doesn't have to stand in a shell's history; a byte order mark before it is none of it."""
    command = [sys.executable, "-m", "worker", "find", "-", *FILES, "--json"]
    found = {}
    for typed in ("\ufeffann@mail.example.org\r\n".encode(), b"\xe4nn@mail.example.org\n", "ann\n".encode("utf-16")):
        found[typed] = subprocess.run(
            command, cwd=told.folder, env=told.env, input=typed, capture_output=True, check=False
        )
    marked, latin, wide = found.values()
    assert json.loads(marked.stdout)["total"] == 2
    assert (latin.returncode, latin.stderr.count(b"\n")) == (2, 1)
    assert b"WHAT: is not valid UTF-8" in latin.stderr
    assert b"WHAT: is in UTF-16" in wide.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (("007",), 2, "nothing says where the results are"),
        ((" ", *FILES), 2, "WHAT: is blank"),
        (("007", "--from", "list.csv"), 2, "list.csv: is no results file of this version"),
        (("007", "--from", "none.csv"), 1, "none.csv: No such file or directory"),
    ],
)
def test_what_makes_no_sense(told: Desk, arguments: tuple[str, ...], code: int, line: str) -> None:
    """One line names the place and the remedy."""
    ended = told.run("find", *arguments)
    (problem,) = ended.stderr.splitlines()
    assert (ended.returncode, ended.stdout) == (code, "")
    assert line in problem


def test_a_torn_row_is_noted(told: Desk) -> None:
    """What another command still writes doesn't count yet."""
    # The calls run side by side, so either customer's result may be the last.
    last = told.results("fall.csv")[-1]["customer_shopid"]
    path = Path(told.folder / "fall.csv")
    path.write_bytes(path.read_bytes()[:-40])
    ended = told.run("find", last, *FILES)
    assert "note: fall.csv: the last row is cut off" in ended.stderr
    assert re.findall(r"^  campaign +(\S+)$", ended.stdout, re.MULTILINE) == ["spring"]


@pytest.mark.parametrize(("columns", "env"), [(40, {}), (200, {}), (80, {"NO_COLOR": "1"}), (80, {"TERM": "dumb"})])
def test_on_a_terminal(told: Desk, columns: int, env: dict[str, str]) -> None:
    """The terminal wraps long lines itself, so that a link can be copied whole; nothing is coloured or cut."""
    with Terminal(told, "find", "007", *FILES, columns=columns, env=env) as terminal:
        raw = terminal.raw()
        assert terminal.process.returncode == 0, raw
    assert "\x1b" not in raw
    assert all(link in raw for link in links(told))


def test_typed_on_a_terminal(told: Desk) -> None:
    """`-` asks for what to find."""
    with Terminal(told, "find", "-", *FILES) as terminal:
        terminal.answer("What to find", "007")
        assert links(told)[0] in terminal.raw()


def test_in_postgresql(told: Desk, postgres_url: str, vhost: Vhost) -> None:
    """What collectors have stored is found as in a file, by the environment's URL; two sources are refused."""
    declared = told.run(
        "collect", "--until-idle", "0.2", REFERRALS_AMQP_URL=vhost.url, REFERRALS_POSTGRES_URL=postgres_url
    )
    assert declared.returncode == 0, declared.stderr
    with tapping(vhost) as tap:
        for number in (6, 7):
            tap.channel.basic_publish("referrals.results", KEY, result(number))
    told.run("collect", "--until-idle", "0.5", REFERRALS_AMQP_URL=vhost.url, REFERRALS_POSTGRES_URL=postgres_url)
    found = told.run("find", "c7", "--json", REFERRALS_POSTGRES_URL=postgres_url)
    assert [each["line"] for each in json.loads(found.stdout)["results"]] == [7]
    assert "note: reads results from PostgreSQL at 127.0.0.1:" in found.stderr
    assert "since REFERRALS_POSTGRES_URL is set; --from reads files" in found.stderr
    in_files = told.run("find", "007", *FILES, REFERRALS_POSTGRES_URL=postgres_url)
    assert re.findall(r"^  link +(\S+)$", in_files.stdout, re.MULTILINE) == links(told)
    assert "PostgreSQL" not in in_files.stderr
    both = told.run("find", "c7", *FILES, "--postgres", "postgresql://127.0.0.1/x")
    assert (both.returncode, "leave out the other" in both.stderr) == (2, True)
