"""What every command has in common: an option that takes one value is given once."""

from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand

from worker.errors import UsageError

Body = TypeVar("Body", bound=Callable[..., None])


class Command(TyperCommand):
    """A command that refuses a single-valued option given twice.

    Typer takes the last value. A second ``--shop`` in an alias or a script would then decide without a word for which
    shop people are called. A flag says the same thing however often it is given. (Any: see ``worker.cli.main``.)
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As Typer's.

        Raises:
          UsageError: a single-valued option stands there twice, whatever its values.
        """
        # The parser takes its arguments off the list. What is wrong with them it says now as it would later.
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        seen = set()
        for option in given:
            if option.name in seen and not (getattr(option, "multiple", False) or getattr(option, "is_flag", False)):
                raise UsageError(f"{option.opts[0]}: is given twice, and it takes one value; keep one of them")
            seen.add(option.name)
        return super().parse_args(ctx, args)


class Commands(typer.Typer):
    """A Typer whose commands are :class:`Command`."""

    def command(
        self, name: str | None = None, *, cls: type[TyperCommand] | None = Command, **options: Any
    ) -> Callable[[Body], Body]:
        """As Typer's."""
        return super().command(name, cls=cls, **options)
