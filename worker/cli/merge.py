"""``referrals merge``: puts results into the exports that they came from."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import console, options, uploading

if TYPE_CHECKING:
    from worker.campaigns.containers.base import ExportFile
    from worker.cli.merge_campaign import Asked
    from worker.merging.uploads.tool import Tool
    from worker.results.source import ResultSource

_TERMINATED = 128 + signal.SIGTERM
"""The exit code by which shells know of the signal."""


def merge(
    exports: options.Exports,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="MERGED", help="File to write; of several exports, the folder of their files."),
    ],
    results: Annotated[
        list[Path] | None,
        typer.Option(
            "--results",
            "--from",
            metavar="RESULTS",
            help="File that `referrals run` or `referrals collect` wrote. May be given several times.",
            show_default=False,
        ),
    ] = None,
    postgres: options.Postgres = None,
    campaign: Annotated[
        str | None,
        typer.Option(
            "--campaign",
            help="Name of the campaign; needed for results in PostgreSQL. [default: the only one of the files]",
            show_default=False,
        ),
    ] = None,
    shop: Annotated[
        str | None,
        typer.Option(
            "--shop",
            help="Shop of the rows whose column `shop` is empty or missing. [default: the results' only one]",
            show_default=False,
        ),
    ] = None,
    channel: Annotated[
        str | None,
        typer.Option(
            "--channel",
            help="Channel of the rows whose column `channel` is empty or missing. [default: the results' only one]",
            show_default=False,
        ),
    ] = None,
    mapping: options.Map = None,
    consent: options.Consent = None,
    preset: options.Preset = None,
    ignore_consent: options.IgnoreConsent = False,
    encoding: options.Encoding = None,
    tool: uploading.For = None,
    link_column: uploading.LinkColumn = None,
    as_json: options.Json = False,
) -> None:
    """Put the results into the export that they came from: its rows and columns to the byte, and the links behind them.

    Appended are `referral_link`, `referral_status`, `referral_outcome`, `referral_error_code`, `referral_message`,
    `referral_sent_at`, and `share_action.<path>` for each value of share actions. The outcome is the result's,
    `pending` without a result yet, or `left_out` with the reason as error code. Without a result it is `suppressed`
    where nobody is called for that address any more, also after `referrals forget`. That needs the workers'
    REFERRALS_REDIS_URL and REFERRALS_SUPPRESSION_KEY; without them such a row is `pending`. A `duplicate_row` has the
    link of its job. Of a replayed job a run that was sent counts, else the latest.

    Give the exports and the options that they were sent with: by them a row finds its result. If hardly any row does,
    nothing is written. Encoding, delimiter and line ends stay; a workbook becomes CSV. The files appear whole and
    together, or not at all.

    `--for` writes a file for the importer of a marketing tool in place of that: what the tool knows its people by, and
    the link of each who was sent. What is too large for one file is in `MERGED-1.csv`, `MERGED-2.csv` and so on.
    Results of a rehearsal are refused. Exit code 1: nobody has a link to upload.

    Example: `referrals merge spring.csv --results results.csv --out merged.csv`
    """
    from worker.campaigns.containers.expand import expand
    from worker.cli.merge_campaign import Asked
    from worker.cli.merging import check_merge
    from worker.cli.result_source import opened

    files = expand(exports, console.note)
    upload = uploading.upload_of(tool, link_column)
    asked = Asked(campaign, shop, channel, mapping, consent, preset, ignore_consent, encoding)
    check_merge(files, asked, upload, out, results or ())
    with opened(results, postgres) as source:
        if not results:
            asked.require_campaign("PostgreSQL")
        put_into(files, source, asked, upload, out, results or (), as_json=as_json)


def put_into(
    files: Sequence[ExportFile],
    source: ResultSource,
    asked: Asked,
    upload: tuple[Tool, str] | None,
    out: Path,
    results: Sequence[Path],
    *,
    as_json: bool,
) -> None:
    """Merge, or write the upload, and show what came of it. ``results`` are the files of ``source``.

    Raises:
      UsageError, InputError, Exit: as :func:`merge_into` and :func:`~worker.cli.uploading.upload_into`.
    """
    from worker.cli.merging import merge_into, summary_data, summary_rows

    # A draft holds addresses, so it must not be left by what ends a command: cron, systemd, `timeout`.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    if upload is not None:
        uploading.upload_into(files, source, asked, *upload, out, as_json=as_json)
        return
    merged = merge_into(files, source, asked, out, results)
    console.summary(summary_rows(merged), summary_data(merged), as_json=as_json)
