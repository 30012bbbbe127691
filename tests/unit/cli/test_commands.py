"""What every command refuses before it does anything."""

import os
from collections.abc import Iterator
from pathlib import Path
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
        assert name in {
            "--map",
            "--consent",
            "--from",
            "--rejects",
            "--results",
            "--merge",
            "--outcome",
            "--code",
            "--suppress",
            "--in",
        }
        return
    with pytest.raises(UsageError, match=f"^{name}: is given twice and takes one value") as refused:
        command.make_context("referrals", arguments)
    assert "\n" not in str(refused.value)


def test_a_flag_says_the_same_thing_twice() -> None:
    """A flag means the same however often it is given."""
    (command,) = (one for name, one in every_command() if name == "shops list")
    assert command.make_context("referrals", ["--json", "--json"]).params["as_json"]


def texts_and_files() -> Iterator[Any]:
    """Each parameter of each command that takes a text or a file, with the command."""
    for name, command in every_command():
        for param in command.params:
            kind = str(param.type_descriptor.annotation)
            if "str" in kind or "Path" in kind:
                yield pytest.param(command, param, "Path" in kind, id=f"{name} {param.name}")


def given(command: Any, param: Any, value: str) -> dict[str, Any]:
    """What a command makes of a value in this place, with what else it cannot do without."""
    arguments = []
    for other in command.params:
        if other.required and other is not param:
            arguments += [other.opts[0], "x"] if other.param_type_name == "option" else ["x"]
    arguments += [param.opts[0], value] if param.param_type_name == "option" else [value]
    made: dict[str, Any] = command.make_context("referrals", arguments).params
    return made


@pytest.mark.parametrize(("command", "param", "is_file"), list(texts_and_files()))
def test_a_text_is_utf_8(command: Any, param: Any, is_file: bool) -> None:
    """Bytes of another encoding are named with their place; files may have such names."""
    value = os.fsdecode(b"Fr\xfchling")
    if is_file:
        assert given(command, param, value)[param.name] in (Path(value), [Path(value)])
        return
    shown = param.opts[0] if param.param_type_name == "option" else param.name.upper()
    with pytest.raises(UsageError) as refused:
        given(command, param, value)
    assert str(refused.value) == f"{shown} Fr\\xfchling: is not valid UTF-8; give it in that encoding"


@pytest.mark.parametrize(("command", "param", "is_file"), list(texts_and_files()))
def test_standard_input_and_output_are_no_files(command: Any, param: Any, is_file: bool) -> None:
    """A minus stands for them elsewhere; here it would be read or written as a file of that name, but for exports."""
    if not is_file:
        assert given(command, param, "-")[param.name] in ("-", ["-"])
        return
    if param.name == "exports" and param.param_type_name == "argument":
        assert given(command, param, "-")[param.name] == [Path("-")]
        return
    with pytest.raises(UsageError, match="standard input and output can't be used here; name a file"):
        given(command, param, "-")
