"""`plan`, `publish` and `run` on terminals of every kind: narrow, wide, without colour, dumb; and in pipes."""

import re
from pathlib import Path

import pytest

from tests.services import RabbitMQ, Vhost, wait_until
from tests.system.commands import Desk
from tests.system.terminal import Terminal

OPTIONS = ("spring.csv", "--shop", "acme", "--campaign", "spring", "--channel", "whatsapp")
WIDTHS = (40, 80, 200)
JOBS = 1_030
"""More than are sent without a question."""

COLOUR = re.compile(r"\x1b\[[\d;]*[1-9][\d;]*m")
CONTROL = re.compile(r"\x1b\[\??[\d;]*[A-Za-z]")
PLAN = ("rows read", "jobs", "left out", "no_consent", "acme: 1,030 jobs, done in", "--threads 32 changes nothing")


@pytest.fixture
def campaign(desk: Desk) -> Desk:
    """A desk with an export that leaves some rows out, and a shop that nobody answers for."""
    desk.write_shops("http://127.0.0.1:1", ["acme"])
    rows = [f"c{number},no" for number in range(40)] + [f"d{number},yes" for number in range(JOBS)]
    lines = [f"{name}@mail.example.org,{consent}" for name, consent in (row.split(",") for row in rows)]
    (desk.folder / "spring.csv").write_text("\n".join(["customer_email,newsletter", *lines, ""]))
    return desk


def plan(desk: Desk) -> tuple[str, ...]:
    """The arguments of a plan for `run`; the desk's RabbitMQ is not asked."""
    desk.env.pop("REFERRALS_AMQP_URL", None)
    return ("plan", *OPTIONS, "--consent", "newsletter=yes")


def seen(raw: str) -> list[str]:
    """The lines of the plan that stay on the screen: what was written over is gone.

    Notes and remarks are left out: the terminal itself wraps them, so that they can be copied as one line.
    """
    text = raw.replace("\r\n", "\n").rpartition("\x1b[2K")[2]
    lines = [CONTROL.sub("", line) for line in text.split("\n")]
    return [line for line in lines if not line.startswith(("note: ", "referrals: "))]


def joined(lines: list[str]) -> str:
    """The text of lines that were wrapped between words."""
    return " ".join(" ".join(lines).split())


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_plan_fits_every_width(campaign: Desk, columns: int) -> None:
    """No line is wider than the terminal, nothing of the plan is missing, and no address is whole."""
    with Terminal(campaign, *plan(campaign), columns=columns) as terminal:
        raw = terminal.raw()
        assert terminal.process.returncode == 0, raw
    lines = seen(raw)
    assert max(map(len, lines)) <= columns
    assert all(part in joined(lines) for part in PLAN), joined(lines)
    assert "mail.example.org" not in raw
    assert len(lines) <= 24


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_plan_without_colour(campaign: Desk, name: str, value: str) -> None:
    """`NO_COLOR` leaves no colour, and a dumb terminal gets no control sequence at all."""
    with Terminal(campaign, *plan(campaign), env={name: value}) as terminal:
        raw = terminal.raw()
    assert not COLOUR.search(raw)
    if value == "dumb":
        assert not CONTROL.search(raw)
    assert all(part in joined(seen(raw)) for part in PLAN), raw


def test_a_plan_in_a_pipe(campaign: Desk) -> None:
    """It is text alone, a line for each thing however wide, and the notes don't mix into it."""
    done = campaign.run(*plan(campaign), COLUMNS="40")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "  no_consent     40  line 2 (c…@m….org), line 3 (c…@m….org), line 4 (c…@m….org)\n" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("columns", WIDTHS)
def test_publish_shows_the_plan_before_it_asks(campaign: Desk, rabbitmq: RabbitMQ, vhost: Vhost, columns: int) -> None:
    """The plan stands above the question in the terminal's width; a no publishes nothing."""
    with Terminal(campaign, "publish", *OPTIONS, "--consent", "newsletter=yes", columns=columns) as terminal:
        terminal.answer("? [y/N] ", "n")
        raw = terminal.raw()
        assert terminal.process.returncode == 2, raw
    before, question, after = raw.partition("Publish ")
    lines = seen(before)
    assert question
    assert max(map(len, lines)) <= columns
    assert all(part in joined(lines) for part in (*PLAN[:4], "acme: 1,030 jobs")), joined(lines)
    assert "1,030 jobs? [y/N]" in after
    assert "nothing was done" in after
    assert rabbitmq.ready(vhost, "referrals.shop.acme") is None


@pytest.mark.parametrize(("answer", "encoding"), [("\x04", "utf-8"), ("ÿ", "ascii")], ids=["end of input", "no text"])
def test_what_is_no_answer_is_a_no(
    campaign: Desk, rabbitmq: RabbitMQ, vhost: Vhost, answer: str, encoding: str
) -> None:
    """Ctrl-D, and bytes that are no text, end the command as a no does: one line, exit code 2, nothing published."""
    with Terminal(campaign, "publish", *OPTIONS, env={"PYTHONIOENCODING": encoding}) as terminal:
        terminal.answer("? [y/N] ", answer)
        raw = terminal.raw()
        assert terminal.process.returncode == 2, raw
    assert raw.partition("? [y/N] ")[2].splitlines()[-1].strip() == "referrals: nothing was done"
    assert rabbitmq.ready(vhost, "referrals.shop.acme") is None


def test_an_export_that_changes_while_the_question_waits(campaign: Desk, rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """A yes was meant for the rows of the plan, and publishes no others."""
    with Terminal(campaign, "publish", *OPTIONS, "--consent", "newsletter=yes") as terminal:
        wait_until(lambda: "[y/N]" in terminal.shown, 40, "the question")
        with (campaign.folder / "spring.csv").open("a") as export:
            export.write("late@mail.example.org,yes\n")
        terminal.answer("? [y/N] ", "y")
        raw = terminal.raw()
        assert terminal.process.returncode == 2, raw
    last = raw.splitlines()[-1]
    assert last == (
        "referrals: spring.csv: was changed after its plan was made, so nothing was done; run the command again"
    )
    assert rabbitmq.ready(vhost, "referrals.shop.acme") is None


def test_publish_publishes_after_a_yes(campaign: Desk, rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """A yes publishes what the plan said."""
    with Terminal(campaign, "publish", *OPTIONS, "--consent", "newsletter=yes") as terminal:
        terminal.answer("? [y/N] ", "y")
        raw = terminal.raw()
        assert terminal.process.returncode == 0, raw
    assert re.search(r"^published +1,030\r?$", raw, re.MULTILINE)
    wait_until(lambda: rabbitmq.depths(vhost).get("referrals.shop.acme") == JOBS, 20, "all jobs")


@pytest.mark.parametrize(("columns", "term"), [(40, "xterm"), (200, "xterm"), (80, "dumb")])
def test_run_shows_the_plan_before_it_asks(campaign: Desk, columns: int, term: str) -> None:
    """So does `run`; after a no there are neither results nor a journal."""
    arguments = ("run", *OPTIONS, "--consent", "newsletter=yes", "--out", "results.csv")
    with Terminal(campaign, *arguments, columns=columns, env={"TERM": term}) as terminal:
        terminal.answer("? [y/N] ", "")
        raw = terminal.raw()
        assert terminal.process.returncode == 2, raw
    lines = seen(raw.partition("Send ")[0])
    assert max(map(len, lines)) <= columns
    assert all(part in joined(lines) for part in PLAN), joined(lines)
    assert "nothing was done" in raw
    assert not [path for path in Path(campaign.folder).iterdir() if path.name.startswith("results.csv")]


def test_nobody_is_asked_in_a_pipe(campaign: Desk, rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """Without a terminal `publish` neither plans nor asks, and its summary has no control sequence."""
    done = campaign.run("publish", *OPTIONS, "--consent", "newsletter=yes")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "[y/N]" not in done.stdout + done.stderr
    assert "done in" not in done.stdout + done.stderr
    wait_until(lambda: rabbitmq.depths(vhost).get("referrals.shop.acme") == JOBS, 20, "all jobs")
