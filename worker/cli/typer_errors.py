"""Typer's own errors, of command lines that it can't parse, as the one line that ours are."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from worker.errors import UsageError


@contextmanager
def in_one_line() -> Iterator[None]:
    """Raise Typer's errors as ours: it would draw a box over several lines, with whatever was given in it.

    Raises:
      UsageError: an option or an argument is missing, unknown, or has a value that it can't have.
    """
    try:
        yield
    except typer.TyperException as error:
        # It is no error but the help, asked for by giving nothing.
        if type(error).__name__ == "NoArgsIsHelpError":
            raise
        raise UsageError(_line(error)) from error


# Any: Typer has its own copy of Click under a private name.
def _line(error: Any) -> str:
    param, ctx = getattr(error, "param", None), getattr(error, "ctx", None)
    said = error.format_message() if param is None else error.message.removeprefix("Value error, ")
    line = said[:1].lower() + said[1:].rstrip(".")
    if param is not None:
        shown = param.opts[0] if param.param_type_name == "option" else param.metavar or param.name.upper()
        line = f"{shown} is missing" if type(error).__name__ == "MissingParameter" else f"{shown}: {line}"
    return f"{line}; see `{ctx.command_path} --help`" if ctx is not None else line
