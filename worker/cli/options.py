"""Options that several commands share, and the import options that they make together."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.campaigns.presets.table import PRESETS
from worker.cli.times import after
from worker.errors import UsageError
from worker.model.names import UNSEEN_IN_NAME, canonical
from worker.text.visible import is_plain

if TYPE_CHECKING:
    from worker.campaigns.options import ImportOptions

# Shop and channel have no default value: a row of an unnamed shop or channel must be rejected, and not be guessed.
Exports = Annotated[
    list[Path],
    typer.Argument(
        metavar="EXPORT",
        help="Campaign exports: CSV, JSON or .xlsx, also in gzip, zip or a folder; - is standard input.",
        allow_dash=True,
        show_default=False,
    ),
]
Shop = Annotated[
    str | None,
    typer.Option("--shop", help="Shop of the rows whose column `shop` is empty or missing.", show_default=False),
]
Campaign = Annotated[
    str,
    typer.Option(
        "--campaign",
        help="Name of the campaign. The same row in the same campaign is always the same job.",
        show_default=False,
    ),
]
Channel = Annotated[
    str | None,
    typer.Option(
        "--channel", help="Channel of the rows whose column `channel` is empty or missing.", show_default=False
    ),
]
Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="FIELD=COLUMN",
        help="Read a field from a column with another name, or from none (FIELD=-). A dot leads into nested JSON.",
        show_default=False,
    ),
]
# No option means that every row has consent: some exports have only such rows, and then no column says so.
Consent = Annotated[
    list[str] | None,
    typer.Option(
        "--consent",
        metavar="COLUMN=VALUE",
        help="Keep only rows with consent: COLUMN=VALUE, COLUMN!=VALUE, or COLUMN= for a blank cell. "
        "May be given several times; a row must meet all of them.",
        show_default=False,
    ),
]
# A preset that is recognised wrongly maps wrong columns, so each can be overruled, for all exports of the command.
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME|none",
        help=f"Tool that the exports come from: {', '.join(PRESETS)}; or none. [default: recognised by the columns]",
        show_default=False,
    ),
]
# Only what is missing is ignored. A row that says no stays out, or one export without the column would open all others.
IgnoreConsent = Annotated[
    bool,
    typer.Option(
        "--ignore-consent",
        help="Read exports that lack the column by which their tool tells consent. Rows that say no are still left "
        "out.",
    ),
]
# Central European, Cyrillic and Japanese encodings can't be told from Windows-1252 by their bytes, so they are named.
Encoding = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        metavar="NAME",
        help="Encoding of the exports, such as cp1250 or cp932. [default: UTF-8, else Windows-1252, line by line]",
        show_default=False,
    ),
]
Brake = Annotated[
    str | None,
    typer.Option(
        "--brake",
        metavar="P%/N",
        help="Stop the campaign at a shop once more than P% of its last N results are rejected or failed. "
        "[default: 50%/200 for more than 1,000 jobs]",
        show_default=False,
    ),
]
First = Annotated[
    int | None,
    typer.Option(
        "--first",
        min=1,
        metavar="N",
        help="Let only so many jobs be called, and hold the rest until `campaigns release`.",
        show_default=False,
    ),
]
NotBefore = Annotated[
    str | None,
    typer.Option(
        "--not-before",
        metavar="WHEN",
        help="Hold all jobs until then: a duration (90m, 2h, 3d) or a time (2026-12-01T18:00:00Z).",
        show_default=False,
    ),
]
NoBrake = Annotated[bool, typer.Option("--no-brake", help="Let the campaign go on whatever its results are.")]
Rejects = Annotated[
    Path | None,
    typer.Option(
        "--rejects",
        metavar="FILE",
        help="File for the rows that can't become a job. [default: EXPORT.rejects.csv]",
        show_default=False,
    ),
]
MaxRejects = Annotated[
    str | None,
    typer.Option(
        "--max-rejects",
        metavar="N|P%",
        help="Send nothing and end with exit code 1 if more rows than that are left out, for whatever reason.",
        show_default=False,
    ),
]
# A password on a command line can be read by every user of the machine, so it is refused there.
Postgres = Annotated[
    str | None,
    typer.Option(
        "--postgres",
        metavar="URL",
        help="PostgreSQL that `referrals collect` filled, in place of files; a password belongs into the environment. "
        "[default, without --from: REFERRALS_POSTGRES_URL]",
        show_default=False,
    ),
]
From = Annotated[
    list[Path] | None,
    typer.Option(
        "--from",
        metavar="RESULTS",
        help="Results file that `referrals collect` or `referrals run` wrote. May be given several times.",
        show_default=False,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show the plan, as `referrals plan` does; send nothing.")]
Match = Annotated[
    bool,
    typer.Option("--match", help="Read the shops' customer lists and predict which jobs Refer2 would reject."),
]
Urgent = Annotated[
    bool,
    typer.Option("--urgent", help="Call these before the shop's other jobs; its limits may keep calls for them."),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="Stop after this many jobs.", show_default=False),
]
# A time or a duration is required to have a zone or a unit, see worker.cli.times.
Expires = Annotated[
    str | None,
    typer.Option(
        "--expires",
        metavar="WHEN",
        help="Deadline, after which no job is called: a duration (90m, 2h, 3d) or a time (2026-12-01T18:00:00Z).",
        show_default=False,
    ),
]
Window = Annotated[
    str | None,
    typer.Option(
        "--window",
        metavar="HOURS",
        help='Hours for this campaign\'s calls, such as "Mon-Fri 09:00-18:00 Europe/Vienna", within those of the shop.',
        show_default=False,
    ),
]
Customers = Annotated[
    Path | None,
    typer.Option(
        "--customers",
        metavar="FILE",
        help="CSV file of the sandbox's customers, with bhid, shopid and email. [default: any id is a customer's]",
        show_default=False,
    ),
]
# Without a terminal nobody can answer: a scheduled command would wait for ever.
Yes = Annotated[
    bool, typer.Option("--yes", help="Don't ask before more than 1,000 jobs. Without a terminal nothing is asked.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")]


def import_options(
    *,
    shop: str | None,
    campaign: str,
    channel: str | None,
    mapping: list[str] | None,
    consent: list[str] | None,
    preset: str | None,
    ignore_consent: bool,
    encoding: str | None,
    limit: int | None,
    rejects: Path | None,
    expires: str | None,
    window: str | None = None,
) -> ImportOptions:
    """The options in the form that the importer takes.

    Raises:
      UsageError: a value can't be used.
    """
    from worker.campaigns.columns import parse_mapping
    from worker.campaigns.consent import parse_consent
    from worker.campaigns.options import ImportOptions

    # A campaign is cancelled and counted by its name, so it needs one that people can read and type.
    if canonical(campaign) is None:
        raise UsageError("--campaign: is blank; a campaign needs a name, by which it can be cancelled")
    if not is_plain(campaign):
        raise UsageError(f"--campaign {campaign}: {UNSEEN_IN_NAME}")
    return ImportOptions(
        shop=shop,
        campaign=campaign,
        channel=channel,
        mapping=parse_mapping(mapping or []),
        consent=[parse_consent(argument) for argument in consent or []],
        preset=preset.strip().casefold() if preset is not None else None,
        ignore_consent=ignore_consent,
        encoding=encoding,
        limit=limit,
        rejects=rejects,
        not_after=after(expires, "--expires", datetime.now(UTC)) if expires is not None else None,
        window=window,
    )
