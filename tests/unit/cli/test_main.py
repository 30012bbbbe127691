"""What a command imports before it needs it: each library costs every start of every command."""

import os
import subprocess
import sys
from collections.abc import Iterator

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
    pass
print(*sys.modules, file=sys.stderr)
"""


def loaded_by(*arguments: str) -> set[str]:
    """The heavy modules that are loaded once a command has run, where neither a store nor RabbitMQ answers."""
    nowhere = {"REFERRALS_REDIS_URL": "redis://127.0.0.1:1", "REFERRALS_AMQP_URL": "amqp://127.0.0.1:1"}
    ran = [sys.executable, "-c", LOADED, *arguments]
    done = subprocess.run(ran, env=os.environ | nowhere, capture_output=True, text=True, check=True)
    return HEAVY & set(done.stderr.splitlines()[-1].split())


def helps() -> Iterator[str]:
    """The words of each command and group."""
    yield ""
    yield from COMMANDS
    yield from (" ".join(words) for words, _ in commands() if len(words) > 1)


@pytest.mark.parametrize("words", list(helps()))
def test_help_imports_nothing_heavy(words: str) -> None:
    """Of no command and no group."""
    assert not loaded_by(*words.split(), "--help")


def test_the_version_is_looked_up_alone() -> None:
    """By the one module that knows it."""
    assert loaded_by("--version") == {"importlib.metadata"}


ASKING = {"asyncio", "hiredis", "importlib.metadata", "pydantic", "redis", "rich", "ssl", "structlog"}
"""What asks the store, with the settings and the lines for a person. redis brings asyncio, pydantic the metadata."""


def test_an_operator_s_order_imports_what_the_store_needs() -> None:
    """Nothing for RabbitMQ, calls or exports."""
    assert loaded_by("shops", "pause", "--all", "--reason", "wrong texts") <= ASKING


def test_status_imports_what_the_store_and_rabbitmq_need() -> None:
    """Nothing for calls, workers or exports."""
    assert loaded_by("status") <= ASKING | {"pika"}


def test_the_list_of_commands_says_what_each_says_of_itself() -> None:
    """It has texts of its own, since it would import every command for theirs."""
    for name, listed in COMMANDS.items():
        assert listed.summary == first_paragraph(GROUP.get_command(None, name).help), name
