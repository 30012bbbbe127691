"""Addresses from a command's arguments: addresses themselves, and files of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from worker.cli import console
from worker.errors import InputError, UsageError
from worker.model.controls import EVERY_SHOP

if TYPE_CHECKING:
    from worker.campaigns.opt_outs import Doubt
    from worker.model.suppression import AddressKey
    from worker.settings import Settings

Addresses = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE|ADDRESS",
        help="Addresses, or files of them: an address a line, a suppression list or another export of HubSpot, "
        "Mailchimp and other tools, also in gzip, zip or a folder; - is standard input.",
        show_default=False,
    ),
]
Shop = Annotated[str | None, typer.Option("--shop", help="The list of this shop.", show_default=False)]
EveryShop = Annotated[bool, typer.Option("--all", help="The list of every shop, those to come included.")]
Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="FIELD=COLUMN",
        help="Read the addresses of a file from this column: customer_email=COLUMN.",
        show_default=False,
    ),
]


@dataclass
class Read:
    """What the arguments came to: hashes without repeats, in their order, with the addresses that were arguments.

    ``doubtful`` rows of files are not among them, and the first are in ``doubts``.
    """

    hashes: dict[bytes, None] = field(default_factory=dict)
    named: dict[str, bytes] = field(default_factory=dict)
    others: int = 0
    blank: int = 0
    doubtful: int = 0
    doubts: list[Doubt] = field(default_factory=list)

    def doubts_data(self) -> dict[str, Any]:
        """The doubtful rows for ``--json``."""
        return {"doubtful": self.doubtful, "doubtful_rows": [doubt._asdict() for doubt in self.doubts]}

    def end(self, done: str) -> None:
        """Name the doubtful rows and end with exit code 1, if there are any; the others were ``done``.

        One row is no reason to leave the others: of a list of thousands nobody would be suppressed, and all would be
        called, until a person has mended it. That it is not whole is what the exit code says.
        """
        if not self.doubtful:
            return
        for doubt in self.doubts[:MOST_NAMED]:
            console.say(str(doubt))
        rest = self.doubtful - MOST_NAMED
        more = f" ({rest:,} more of them are not named)" if rest > 0 else ""
        rows = "row was" if self.doubtful == 1 else "rows were"
        console.say(
            f"{self.doubtful:,} doubtful {rows} left out{more}, and all others {done}; correct what is doubtful and "
            "give the file again"
        )
        raise typer.Exit(InputError.exit_code)


MOST_NAMED = 20
"""Doubtful rows that are named to a person; ``--json`` has more."""


def read(arguments: list[str], mapping: list[str] | None, key: AddressKey) -> Read:
    """The hashes of all addresses that are meant. Of a tool's export only those of people who said no.

    Raises:
      UsageError: an argument is neither a file nor an address; or a file's header can't be used.
      InputError: a file can't be read.
    """
    from worker.campaigns.columns import parse_mapping
    from worker.campaigns.containers.expand import expand
    from worker.campaigns.opt_outs import OptOuts
    from worker.model.addresses import normalized_email

    found = Read()
    paths = []
    for argument in arguments:
        if "@" in argument and not _is_there(Path(argument)):
            if normalized_email(argument.strip()) is None:
                raise UsageError("an argument is neither a file nor an e-mail address")
            found.named[argument] = key.hashed(argument)
        else:
            paths.append(Path(argument))
    found.hashes.update(dict.fromkeys(found.named.values()))
    if paths:
        opt_outs = OptOuts(expand(paths, console.note), parse_mapping(mapping or []))
        for address in opt_outs:
            found.hashes[key.hashed(address)] = None
        for text in opt_outs.warnings:
            console.note(text)
        found.others, found.blank = opt_outs.others, opt_outs.blank
        found.doubtful, found.doubts = opt_outs.doubtful, opt_outs.doubts
    return found


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        # Longer than a name may be, or with a NUL.
        return False


class Suppressed(NamedTuple):
    """The addresses that a run calls nobody for: hashes by a key of this process alone."""

    key: AddressKey
    hashes: Sequence[bytes]


def suppressed_in(files: Sequence[Path]) -> Suppressed:
    """The addresses in the files of ``--suppress``; raises as :func:`read`.

    A doubtful row is an InputError here: nobody has been called yet, and the person in it would be.
    """
    import secrets

    from worker.model.suppression import AddressKey

    key = AddressKey(secrets.token_bytes(32))
    try:
        found = read([str(file) for file in files], None, key)
    except UsageError as error:
        raise UsageError(
            f"--suppress {error}; --map is not for this file: leave nothing in it but addresses, one a line"
        ) from None
    if found.doubts:
        raise InputError(f"{found.doubts[0]}, and the person in it would be called; correct this line")
    return Suppressed(key, list(found.hashes))


def list_of(shop: str | None, *, every_shop: bool, loaded: Settings) -> str:
    """The list that is meant: a shop's, or ``*``.

    Raises:
      UsageError: not one of them.
      ConfigurationError: the shops file has no such shop.
    """
    from worker.cli.shop_lookup import require_shop
    from worker.shops.file import readable_shops

    if (shop is None) != every_shop:
        raise UsageError("say whose list: give --shop SHOP, or --all for every shop")
    if shop is None:
        return EVERY_SHOP
    require_shop(shop, readable_shops(loaded.shops), loaded)
    return shop


def called(shop: str) -> str:
    """The list, for a person."""
    return "every shop" if shop == EVERY_SHOP else f"shop {shop}"
