"""Command lines that Typer can't parse end in one line, as every other mistake does."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from worker.cli.main import COMMANDS, app
from worker.errors import UsageError

# Any: Typer has its own copy of Click under a private name.
GROUP: Any = typer.main.get_command(app)


def commands() -> Iterator[tuple[list[str], Any]]:
    """Every command with the words that name it."""
    for name in COMMANDS:
        command = GROUP.get_command(None, name)
        subcommands = getattr(command, "commands", None)
        if subcommands is None:
            yield [name], command
        else:
            yield from (([name, inner], subcommands[inner]) for inner in subcommands)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (words, param.opts[0] if param.param_type_name == "option" else param.metavar or param.name.upper())
        for words, command in commands()
        for param in command.params
        if param.required
    ],
)
def test_each_required_thing_is_named_where_it_is_missing(words: list[str], shown: str) -> None:
    """By the name that the command's help gives it, with the command that shows this help."""
    given: list[str] = []
    # Each command names the first thing that is missing; what was named is given next, until this one's turn comes.
    for _ in range(10):
        with pytest.raises(UsageError) as raised:
            GROUP(args=[*words, *given], prog_name="referrals", standalone_mode=False)
        line = str(raised.value)
        named, _, rest = line.partition(" is missing; ")
        assert rest == f"see `referrals {' '.join(words)} --help`"
        if named == shown:
            return
        given += [named, "10"] if named.startswith("--") else ["10"]
    raise AssertionError(f"{shown} was never named")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            "plan a.csv --campaign c --limit 0",
            "--limit: input should be greater than or equal to 1; see `referrals plan --help`",
        ),
        (
            "collect --out a --format xml",
            "--format: 'xml' is not one of 'csv', 'jsonl'; see `referrals collect --help`",
        ),
        (
            "plan a.csv --campaign c --limt 1",
            "no such option: --limt (Possible options: --first, --limit, --match); see `referrals plan --help`",
        ),
        ("plan --campaign", "option '--campaign' requires an argument"),
        ("plam", "no such command 'plam'; see `referrals --help`"),
        ("dead lst", "no such command 'lst'"),
        (
            "shops check a ann@example.com",
            "got unexpected extra argument(s) (<address:",
        ),
    ],
)
def test_whatever_else_can_not_be_parsed_is_one_line_too(arguments: str, line: str) -> None:
    """What was given is masked in it."""
    with pytest.raises(UsageError) as raised:
        GROUP(args=arguments.split(), prog_name="referrals", standalone_mode=False)
    assert str(raised.value).startswith(line)
    assert "\n" not in str(raised.value)
