"""What every command checks: an option with one value is given once, and every value can be used."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from worker.errors import UsageError

Body = TypeVar("Body", bound=Callable[..., None])


class Command(TyperCommand):
    """A command that refuses a single-valued option given twice, and values that it can't use.

    Typer takes the last value. A second ``--shop`` in an alias or a script would silently decide for which shop people
    are called. A flag may be repeated, since it means the same each time.

    A file's name may hold bytes that are not UTF-8. In any other text they would fail later, in the store or in
    RabbitMQ, as if that were broken. (Any: see ``worker.cli.main``.)
    """

    def get_help_option(self, ctx: Any) -> Any:
        """The option ``--help``."""
        return _with_help(super().get_help_option(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as Typer does, and check what was given.

        Raises:
          UsageError: a single-valued option is given twice, even with equal values; a text is not valid UTF-8; a file
            is ``-`` where that stands for nothing.
        """
        # The parser empties the list that it gets, so it gets a copy. Its own errors are the same now as later.
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        seen = set()
        for option in given:
            if option.name in seen and not (getattr(option, "multiple", False) or getattr(option, "is_flag", False)):
                raise UsageError(f"{option.opts[0]}: is given twice and takes one value; keep one of them")
            seen.add(option.name)
        left: list[str] = super().parse_args(ctx, args)
        params: list[Any] = self.get_params(ctx)
        for param in params:
            shown = param.opts[0] if param.param_type_name == "option" else (param.name or "").upper()
            for value in _each(ctx.params.get(param.name)):
                _check(shown, value, may_be_dash=param.type_descriptor.parameter_info.allow_dash)
        return left


def _with_help(option: Any) -> Any:
    # Typer converts each value by pydantic, which takes 0.1 s to import, but not what is a bool already. Its own --help
    # is None until it is given.
    if option is not None:
        option.default = False
        option.callback = _show_help
    return option


def _show_help(ctx: Any, _param: object, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        # Click's own echo drops what a closed standard output can't take.
        print(ctx.get_help(), flush=True)  # noqa: T201 - asked for
        ctx.exit()


def _each(value: object) -> Iterator[object]:
    if isinstance(value, list | tuple):
        yield from value
    else:
        yield value


def _check(shown: str, value: object, *, may_be_dash: bool) -> None:
    if isinstance(value, Path) and str(value) == "-" and not may_be_dash:
        raise UsageError(f"{shown} -: standard input and output can't be used here; name a file")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            # Shown as a shell and Python write bytes: Fr\xfchling.
            text = value.encode(errors="surrogateescape").decode(errors="backslashreplace")
            raise UsageError(f"{shown} {text}: is not valid UTF-8; give it in that encoding") from None


class Group(TyperGroup):
    """A group whose help lists the first paragraph of each command's help, whole. Click cuts it at 45 characters."""

    def get_help_option(self, ctx: Any) -> Any:
        """The option ``--help``."""
        return _with_help(super().get_help_option(ctx))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of the commands."""
        listed = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, first_paragraph(command.help or "")) for name, command in listed if command])


def first_paragraph(text: str) -> str:
    """The first paragraph of a command's help, in one line."""
    return " ".join(text.partition("\n\n")[0].split())


class Commands(typer.Typer):
    """A Typer whose commands are :class:`Command`."""

    def command(
        self, name: str | None = None, *, cls: type[TyperCommand] | None = Command, **options: Any
    ) -> Callable[[Body], Body]:
        """Register a command as Typer does, as a :class:`Command`."""
        return super().command(name, cls=cls, **options)
