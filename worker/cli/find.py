"""``referrals find``: what a customer was sent, and what came back."""

import sys
from typing import Annotated

import typer

from worker.cli import console, options
from worker.errors import UsageError
from worker.text.editors import EncodingError, without_bom

_QUESTION = "What to find (an address, an id, a reference, a job id or a link):"

MOST_SHOWN = 1000
"""Results that are shown at most, and so kept in memory."""


def find(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="A customer's address, shopid or bhid, a destination, reference, job id or link; - reads it from "
            "standard input, which no shell's history keeps.",
            show_default=False,
        ),
    ],
    files: options.From = None,
    postgres: options.Postgres = None,
    campaign: Annotated[
        str | None, typer.Option("--campaign", help="Only results of this campaign.", show_default=False)
    ] = None,
    shop: Annotated[str | None, typer.Option("--shop", help="Only results of this shop.", show_default=False)] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=MOST_SHOWN, help="Show at most this many, the newest; all are counted.")
    ] = 20,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show addresses.")] = False,
    as_json: options.Json = False,
) -> None:
    """Show what a customer was sent, when and with which link, and what came back, over all campaigns and runs.

    What you give must match whole. Addresses match in any case, links with or without `https://` and a slash at the
    end. A customer's other ids are followed within the shop: a job id or a link finds everything of its customer.
    Addresses are masked unless --reveal is given.

    Exit code 1: nothing matches.

    Example: `referrals find 4711 --from results.csv`
    """
    from worker.cli.redaction import masked
    from worker.cli.result_source import opened
    from worker.cli.result_view import lines_of
    from worker.results.lookup import MOST_IDS, look_up
    from worker.results.wanted import Wanted

    wanted = Wanted.parse(typed(_QUESTION) if what == "-" else what)
    with opened(files, postgres) as source:
        found = look_up(source, wanted, campaign=campaign, shop=shop, limit=limit)
    if as_json:
        shown = [dict(each) if reveal else masked(each) for each in found.results]
        console.print_json({"total": found.total, "every_id": found.every_id, "results": shown})
    else:
        for number, result in enumerate(found.results):
            for line in [""] * (number > 0) + lines_of(result, reveal=reveal):
                console.show(line)
    if (more := found.total - len(found.results)) > 0:
        console.say(f"these are the newest {len(found.results):,}, and there are {more:,} more; raise --limit")
    if not found.every_id:
        console.say(
            f"these results name more than {MOST_IDS} ids of customers, and not all were followed: there may be more "
            "results; find the ids one by one"
        )
    # After the output: `--json` prints an empty list for a program, and the exit code says that nothing matched.
    if not found.total:
        console.say("no result matches; ids must match whole, as they stand in the export")
        raise typer.Exit(1)


def typed(question: str) -> str:
    """One line of standard input, a person's answer or a pipe's.

    Raises:
      UsageError: it is not valid UTF-8.
    """
    from worker.results.wanted import LONGEST

    if sys.stdin.isatty():
        console.ask_about(question)
    # A character takes up to four bytes, and nothing longer is of use.
    line = sys.stdin.buffer.readline(4 * LONGEST)
    try:
        # PowerShell's pipes begin with a byte order mark.
        return without_bom(line).decode()
    except UnicodeDecodeError:
        if len(line) == 4 * LONGEST:
            # Cut off within a character.
            return line.decode(errors="replace")
        raise UsageError("WHAT: is not valid UTF-8; give it in that encoding") from None
    except EncodingError:
        raise UsageError("WHAT: is in UTF-16; give it in UTF-8") from None
