"""Who gives an order and why: read from the options, and recorded by commands whose work the store doesn't do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import console
from worker.errors import StoreError, UsageError

if TYPE_CHECKING:
    from worker.model.orders import Origin
    from worker.settings import Settings

LONGEST_AUTHOR = 100

LONGEST_REASON = 200

As = Annotated[
    str | None,
    typer.Option(
        "--as", metavar="NAME", help="Who orders it, for `referrals log`. [default: user@host]", show_default=False
    ),
]
Reason = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why, for `referrals log`.", show_default=False)
]
# Where --reason selects letters by theirs.
Because = Annotated[
    str | None, typer.Option("--because", metavar="TEXT", help="Why, for `referrals log`.", show_default=False)
]


def origin(author: str | None, reason: str | None, *, option: str = "--reason") -> Origin:
    """Who gives the order, by --as or else by this process's user and host, and why, by ``option``.

    Raises:
      UsageError: one of them is empty, too long, or more than one line.
    """
    from worker.model.orders import Origin

    by = _one_line("--as", author, LONGEST_AUTHOR) if author is not None else _me()
    return Origin(by, _one_line(option, reason, LONGEST_REASON) if reason is not None else "")


def record(
    loaded: Settings, action: str, given: Origin, detail: str, *, shop: str | None = None, campaign: str | None = None
) -> None:
    """Remember in the workers' store what was done. Without a shared store nothing is remembered.

    What was done is done: if the store is out of reach, a line says so, and the command does not fail for it.
    """
    from worker.cli.store import shared_store

    if loaded.redis_url is None:
        return
    try:
        with shared_store(loaded, action) as store:
            store.record(action, given, shop=shop or "", campaign=campaign or "", detail=detail)
    except StoreError as error:
        console.say(f"this could not be recorded, so `referrals log` won't show it: {error}")


def _one_line(option: str, text: str, longest: int) -> str:
    # Shown in tables and lines, so a line break or a control character would spoil them.
    if not text.strip() or len(text) > longest or not text.isprintable():
        raise UsageError(f"{option}: must be one line of 1 to {longest} characters")
    return text.strip()


def _me() -> str:
    import getpass
    import os
    import socket

    from worker.text.visible import one_line

    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):
        # A container may run as a number that belongs to no user.
        user = f"uid {os.getuid()}"
    return one_line(f"{user}@{socket.gethostname()}")[:LONGEST_AUTHOR]
