"""Which dead letters a command works on: the options that select them, and the letters that they match."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.times import ago
from worker.errors import UsageError
from worker.model.names import canonical

if TYPE_CHECKING:
    from worker.rabbitmq.dead_letters import DeadLetter

Command = Callable[..., None]


@dataclass(frozen=True)
class Selection:
    """The letters that match every option which was given; without any option, all letters.

    ``ids`` are ids of letters or of their jobs. A letter died earlier than ``before`` and not earlier than ``since``.
    """

    ids: frozenset[str] = frozenset()
    reason: str | None = None
    shop: str | None = None
    campaign: str | None = None
    before: datetime | None = None
    since: datetime | None = None

    @property
    def is_everything(self) -> bool:
        """Whether no option narrows the selection."""
        return self == Selection()

    def unfound(self, names: Collection[str | None]) -> list[str]:
        """The selected ids that are not among ``names``, the ids and job ids of some letters."""
        return sorted(self.ids.difference(names))

    def matches(self, letter: DeadLetter) -> bool:
        """Whether the letter is selected."""
        return (
            (not self.ids or letter.id in self.ids or letter.job_id in self.ids)
            and self.reason in (None, letter.reason)
            and self.shop in (None, letter.shop)
            and self.campaign in (None, canonical(letter.campaign))
            # A letter of unknown age is neither older nor newer: `drop --older-than` must not remove it on a guess.
            and (self.before is None or (letter.dead_at is not None and letter.dead_at < self.before))
            and (self.since is None or (letter.dead_at is not None and letter.dead_at >= self.since))
        )


def selection(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Dead letters, by their id or their job id.", show_default=False),
    ] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Only letters with this reason.", show_default=False)
    ] = None,
    shop: Annotated[str | None, typer.Option("--shop", help="Only letters of this shop.", show_default=False)] = None,
    campaign: Annotated[
        str | None, typer.Option("--campaign", help="Only letters of this campaign.", show_default=False)
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            metavar="WHEN",
            help="Only letters that died before this: 90m, 3d, or a time.",
            show_default=False,
        ),
    ] = None,
    newer_than: Annotated[
        str | None,
        typer.Option(
            "--newer-than",
            metavar="WHEN",
            help="Only letters that died since this: 90m, 3d, or a time.",
            show_default=False,
        ),
    ] = None,
) -> Selection:
    """The selection that these options make. :func:`selecting` gives these parameters to each command.

    Raises:
      UsageError: a time or the campaign's name can't be used.
    """
    # `--campaign ""` would become None and select every campaign, which `drop` must not do by mistake.
    now = datetime.now(UTC)
    if campaign is not None and canonical(campaign) is None:
        raise UsageError("--campaign: is empty; give a campaign's name")
    return Selection(
        frozenset(ids or ()),
        reason,
        shop,
        canonical(campaign),
        ago(older_than, "--older-than", now) if older_than is not None else None,
        ago(newer_than, "--newer-than", now) if newer_than is not None else None,
    )


def selecting(*, by_id: bool = True) -> Callable[[Command], Command]:
    """Give a command the options of :func:`selection`; the command gets the :class:`Selection` as its first argument.

    ``by_id``: letters may also be named by their ids.
    """
    options = [
        option
        for option in inspect.signature(selection, eval_str=True).parameters.values()
        if by_id or option.name != "ids"
    ]

    def decorate(command: Command) -> Command:
        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

        @wraps(command)
        def selected(**given: Any) -> None:
            selectors = {option.name: given.pop(option.name) for option in options}
            command(selection(**selectors), **given)

        # Typer builds a command's options from its signature, and has no way to share a set of them.
        selected.__signature__ = inspect.Signature([*options, *own])  # type: ignore[attr-defined] # not declared
        return selected

    return decorate
