"""What every command refuses before it does anything."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from worker.cli.main import COMMANDS, app
from worker.errors import UsageError


def every_command() -> Iterator[tuple[str, Any]]:
    """Each command of the program with its name, those of groups included."""
    program: Any = typer.main.get_command(app)
    for name in COMMANDS:
        command = program.get_command(None, name)
        for inner, one in getattr(command, "commands", {"": command}).items():
            yield f"{name} {inner}".strip(), one


def options_with_a_value() -> Iterator[Any]:
    """Each option of each command that takes a value, with the command."""
    for name, command in every_command():
        for option in command.params:
            if option.param_type_name == "option" and not option.is_flag:
                yield pytest.param(command, option, id=f"{name} {option.opts[0]}")


@pytest.mark.parametrize(("command", "option"), list(options_with_a_value()))
def test_an_option_is_given_once(command: Any, option: Any) -> None:
    """Of two values none wins: the option is refused by its name, in both ways of writing it, unless it takes many."""
    name = option.opts[0]
    arguments = [name, "1", f"{name}=1"]
    if option.multiple:
        assert name in {"--map", "--consent"}
        return
    with pytest.raises(UsageError, match=f"^{name}: is given twice, and it takes one value") as refused:
        command.make_context("referrals", arguments)
    assert "\n" not in str(refused.value)


def test_a_flag_says_the_same_thing_twice() -> None:
    """What takes no value can't be meant in two ways."""
    (command,) = (one for name, one in every_command() if name == "shops list")
    assert command.make_context("referrals", ["--json", "--json"]).params["as_json"]
