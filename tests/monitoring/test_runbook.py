"""The runbook: a section for each alert and no other, and every command in it is one that exists."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from tests.monitoring.rules import ALERTS, ROOT
from tests.services import RabbitMQ
from worker.cli.main import app

TEXT = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")

SECTIONS = {part.split("\n", 1)[0]: part for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]}

BIN = Path(sys.executable).parent

OPTION = re.compile(r"--[a-z][a-z-]*")

DEPTHS = [
    (("referrals", "shops"), 3),
    (("referrals", "campaigns"), 3),
    (("referrals", "dead"), 3),
    (("referrals",), 2),
    (("kubectl", "create", "secret"), 4),
    (("kubectl", "rollout"), 3),
    (("kubectl",), 2),
    (("rabbitmqctl",), 2),
    (("rabbitmq-plugins",), 2),
]
"""How many words make a command, by what it begins with: groups have commands of their own."""


def commands() -> list[str]:
    """Every command in a block, or between backticks where it is ours; continued lines and pipes taken apart."""
    blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
    inline = re.findall(r"`(referrals [^`]+)`", re.sub(r"^```.*?^```", "", TEXT, flags=re.MULTILINE | re.DOTALL))
    lines = [part.strip() for line in blocks.splitlines() for part in re.split(r" \| ", line)]
    return sorted({*filter(None, lines), *inline})


def test_sections_are_alerts() -> None:
    """Sections and alerts match one to one, in the same order; each begins with the alert's severity."""
    assert list(SECTIONS) == list(ALERTS)
    for name, section in SECTIONS.items():
        assert section.split("\n")[2].startswith(f"*{ALERTS[name]['labels']['severity']}.* ")
        assert "```sh\n" in section, f"{name}: no command"


def test_links_lead_somewhere() -> None:
    """Files that it links to exist, and so do sections of its own."""
    headings = re.findall(r"^##+ (.+)$", TEXT, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        path, _, anchor = target.partition("#")
        assert not path or (ROOT / "docs" / path).exists(), target
        assert path or anchor in anchors, target


def test_log_lines_exist() -> None:
    """What it says to look for in the log is logged."""
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "worker").rglob("*.py"))
    lines = re.findall(r"lines?\s+`(\w+)`", TEXT)
    assert len(lines) >= 3
    assert [line for line in lines if f'"{line}"' not in sources] == []


def help_of(words: tuple[str, ...], rabbitmq: RabbitMQ) -> str:
    """What the help of a command says; fails where there is no such command."""
    program, *names = words
    if program == "referrals":
        shown = CliRunner().invoke(app, [*names, "--help"], env={"COLUMNS": "200"})
        assert shown.exit_code == 0, shown.output
        return shown.output
    env = None
    asked = [str(BIN / "kubectl"), *names, "--help"]
    if program.startswith("rabbitmq"):
        (ctl, *_), env = rabbitmq.ctl_command()
        asked = [str(Path(ctl).with_name(program)), "help", *names]
    helped = subprocess.run(asked, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert helped.returncode == 0, helped.stderr
    return helped.stdout


def test_commands_exist(rabbitmq: RabbitMQ) -> None:
    """Each command's own help knows it and the options that it is given."""
    options: dict[tuple[str, ...], set[str]] = {}
    for command in commands():
        words = shlex.split(command)
        given = words[: words.index("--")] if "--" in words else words
        names = tuple(word for word in given if not word.startswith("-"))
        depth = next(depth for (start, depth) in DEPTHS if names[: len(start)] == start)
        options.setdefault(names[:depth], set()).update(
            found[0] for word in given if (found := OPTION.match(word)) is not None
        )
    assert len(options) >= 20
    for called, wanted in options.items():
        said = help_of(called, rabbitmq)
        assert [option for option in sorted(wanted) if option not in said] == [], called
