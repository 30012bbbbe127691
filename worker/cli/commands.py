"""What every command has in common: an option that takes one value is given once, and every value can be meant."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand

from worker.errors import UsageError

Body = TypeVar("Body", bound=Callable[..., None])


class Command(TyperCommand):
    """A command that refuses a single-valued option given twice, and values that can't be meant.

    Typer takes the last value. A second ``--shop`` in an alias or a script would then decide without a word for which
    shop people are called. A flag says the same thing however often it is given.

    Bytes that are no UTF-8 may be in the name of a file. In any other text they would fail wherever it is written
    first, the store or RabbitMQ, as if that were broken. (Any: see ``worker.cli.main``.)
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As Typer's.

        Raises:
          UsageError: a single-valued option stands there twice, whatever its values; a text is not valid UTF-8; a file
            is ``-``.
        """
        # The parser takes its arguments off the list. What is wrong with them it says now as it would later.
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        seen = set()
        for option in given:
            if option.name in seen and not (getattr(option, "multiple", False) or getattr(option, "is_flag", False)):
                raise UsageError(f"{option.opts[0]}: is given twice and takes one value; keep one of them")
            seen.add(option.name)
        left: list[str] = super().parse_args(ctx, args)
        for param in self.get_params(ctx):
            shown = param.opts[0] if param.param_type_name == "option" else (param.name or "").upper()
            for value in _each(ctx.params.get(param.name)):
                _check(shown, value)
        return left


def _each(value: object) -> Iterator[object]:
    if isinstance(value, list | tuple):
        yield from value
    else:
        yield value


def _check(shown: str, value: object) -> None:
    if isinstance(value, Path) and str(value) == "-":
        raise UsageError(f"{shown} -: standard input and output can't be used here; name a file")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            # As a shell and Python write bytes: Fr\xfchling.
            text = value.encode(errors="surrogateescape").decode(errors="backslashreplace")
            raise UsageError(f"{shown} {text}: is not valid UTF-8; give it in that encoding") from None


class Commands(typer.Typer):
    """A Typer whose commands are :class:`Command`."""

    def command(
        self, name: str | None = None, *, cls: type[TyperCommand] | None = Command, **options: Any
    ) -> Callable[[Body], Body]:
        """As Typer's."""
        return super().command(name, cls=cls, **options)
