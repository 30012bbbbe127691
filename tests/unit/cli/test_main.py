"""What a command imports before it needs it: each library costs every start of every command."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.test_typer_errors import GROUP, commands
from worker.cli.commands import first_paragraph
from worker.cli.main import COMMANDS

HEAVY = {
    "aiohttp",
    "asyncio",
    "dramatiq",
    "email_validator",
    "hiredis",
    "importlib.metadata",
    "jinja2",
    "openpyxl",
    "pika",
    "prometheus_client",
    "psycopg",
    "pydantic",
    "redis",
    "requests",
    "rich",
    "ssl",
    "structlog",
    "urllib3",
}
"""What takes 10 ms or more to import."""

LOADED = """
import sys
from worker.cli import main
sys.argv = ["referrals", *sys.argv[1:]]
try:
    main()
except SystemExit as ended:
    print("ended with", ended.code)
print(*sys.modules, file=sys.stderr)
"""


def ended(*arguments: str, **environment: str) -> tuple[str, set[str]]:
    """What a command has printed, with its exit code, and the heavy modules that are loaded once it has run.

    Neither a store nor RabbitMQ answers.
    """
    nowhere = {"REFERRALS_REDIS_URL": "redis://127.0.0.1:1", "REFERRALS_AMQP_URL": "amqp://127.0.0.1:1"}
    ran = [sys.executable, "-c", LOADED, *arguments]
    done = subprocess.run(ran, env=os.environ | nowhere | environment, capture_output=True, text=True, check=True)
    return done.stdout, HEAVY & set(done.stderr.splitlines()[-1].split())


def helps() -> Iterator[str]:
    """The words of each command and group."""
    yield ""
    yield from COMMANDS
    yield from (" ".join(words) for words, _ in commands() if len(words) > 1)


@pytest.mark.parametrize("words", list(helps()))
def test_help_imports_nothing_heavy(words: str) -> None:
    """Of no command and no group; nor is it what another one has imported that makes it start."""
    told, loaded = ended(*words.split(), "--help")
    assert f"{words} [OPTIONS]" in told
    assert told.endswith("ended with 0\n")
    assert not loaded


def test_the_version_is_looked_up_alone() -> None:
    """By the one module that knows it."""
    assert ended("--version")[1] == {"importlib.metadata"}


LOCAL = {"asyncio", "importlib.metadata", "pydantic", "rich", "ssl", "structlog"}
"""What has the settings and the lines for a person. structlog brings rich and asyncio, pydantic the metadata."""

STORE = LOCAL | {"hiredis", "redis"}

NEEDED = {
    "shops pause --all --reason wrong-texts": STORE,
    "shops resume --all": STORE,
    "shops list": STORE,
    "status": STORE | {"pika"},
    "cancel spring": STORE,
    "dead list": LOCAL | {"pika"},
    "find 4711 --from nowhere.csv": LOCAL,
    "find 4711 --postgres postgresql://127.0.0.1:1/results": LOCAL | {"psycopg"},
}
"""What an operator waits for, and what it takes to ask: nothing for calls, workers or exports."""


@pytest.mark.parametrize("words", NEEDED)
def test_an_operator_s_command_imports_what_it_asks(tmp_path: Path, words: str) -> None:
    """Up to where nobody answers."""
    shops = tmp_path / "shops.toml"
    shops.write_text('[shops.acme]\nkey_id = "k"\nsecret_file = "key"\n')
    (tmp_path / "key").write_text("0" * 32)
    assert ended(*words.split(), REFERRALS_SHOPS=str(shops))[1] <= NEEDED[words]


def test_no_plugin_of_pydantic_s_is_looked_for(tmp_path: Path) -> None:
    """Finding them reads what is known of each installed package; and what is installed beside us must not run here."""
    about = tmp_path / "beside-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: beside\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[pydantic]\nbeside = jinja2\n")
    assert "jinja2" not in ended("status", PYTHONPATH=str(tmp_path))[1]


def test_the_list_of_commands_says_what_each_says_of_itself() -> None:
    """It has texts of its own, since it would import every command for theirs."""
    for name, listed in COMMANDS.items():
        assert listed.summary == first_paragraph(GROUP.get_command(None, name).help), name
