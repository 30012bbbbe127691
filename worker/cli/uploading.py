"""Writes the upload files of ``--for``, and says what is in them and what is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import console
from worker.errors import UsageError
from worker.merging.uploads.table import TOOLS
from worker.merging.uploads.tool import Tool

if TYPE_CHECKING:
    from worker.campaigns.containers.base import ExportFile
    from worker.campaigns.importer import Importer
    from worker.cli.merge_campaign import Asked
    from worker.merging.merged_rows import MergedRow
    from worker.merging.returned import ReturnedResults
    from worker.merging.uploads.upload import Uploaded
    from worker.results.source import ResultSource

For = Annotated[
    str | None,
    typer.Option(
        "--for",
        metavar="TOOL",
        help="Write what this tool's importer takes, in place of the whole export: one identifier and the link. One of "
        f"{', '.join(TOOLS)}.",
        show_default=False,
    ),
]
LinkColumn = Annotated[
    str | None,
    typer.Option(
        "--link-column",
        metavar="NAME",
        help="Name of the link's column in the files of --for. [default: as the tool spells such names]",
        show_default=False,
    ),
]

_EXPLAINED = frozenset({"not sent"})
"""Why most rows are not uploaded; it needs no explanation in every summary."""


def upload_of(tool: str | None, link_column: str | None) -> tuple[Tool, str] | None:
    """The tool that ``--for`` names, and the name of its column; None without ``--for``.

    Raises:
      UsageError: there is no such tool, it takes no such name, or the name is given without a tool.
    """
    if tool is None:
        if link_column is not None:
            raise UsageError("--link-column: names a column of the files of --for; give --for TOOL with it")
        return None
    found = TOOLS.get(tool.strip().casefold())
    if found is None:
        raise UsageError(f"--for {tool}: is none of the tools that files are written for: {', '.join(TOOLS)}")
    column = found.link_column if link_column is None else link_column
    found.check_name(column)
    return found, column


def upload_into(
    files: Sequence[ExportFile],
    source: ResultSource,
    asked: Asked,
    tool: Tool,
    link_column: str,
    out: Path,
    *,
    as_json: bool,
) -> None:
    """Write the upload of a campaign, and tell of what a person should know.

    Raises:
      UsageError, InputError: as :func:`~worker.cli.merge_campaign.opened_campaign`, or as :func:`write_upload`.
      Exit: no row has a link to upload, and so there is no file.
    """
    from worker.cli.merge_campaign import opened_campaign
    from worker.merging.uploads.upload import write_upload

    with opened_campaign(files, source, asked) as (importer, returned):
        done = write_upload(_checked(importer, returned), tool, link_column, out)
    _show(done, importer, tool, link_column, as_json=as_json)


def _checked(importer: Importer, returned: ReturnedResults) -> Iterator[MergedRow]:
    """The rows with what came back; raises InputError after the last one if hardly any has found its result."""
    from worker.merging.merged_rows import merged_rows
    from worker.merging.mismatch import Mismatch

    mismatch = Mismatch()
    for row in merged_rows(importer, returned):
        if row.draft is not None and row.verdict == "new":
            mismatch.add(row.draft, found=row.returned is not None)
        yield row
    mismatch.refuse(returned)


def _show(done: Uploaded, importer: Importer, tool: Tool, link_column: str, *, as_json: bool) -> None:
    from worker.merging.uploads.selection import WHY_NOT

    uploaded = sum(part.rows for part in done.parts)
    lines = console.import_rows(importer)
    lines.append(("to upload", f"{uploaded:,}"))
    lines.append(("not to upload", f"{done.left_out.total():,}"))
    for why, number in done.left_out.most_common():
        lines.append((f"  {why}", f"{number:,}" if why in _EXPLAINED else f"{number:,}  {WHY_NOT[why]}"))
    lines += [
        (f"for {tool.name}", f"{part.path} ({part.rows:,} rows by {part.identifier}, {_size(part.size)})")
        for part in done.parts
    ]
    console.summary(lines, _data(done, importer, tool, link_column), as_json=as_json)
    if long := done.left_out["long link"]:
        assert tool.longest_link is not None
        console.note(
            f"rows left out since their link is longer than the {tool.longest_link.number} {tool.longest_link.unit} "
            f"that a field of {tool.name} takes, which would cut it: {long:,}"
        )
    if done.parts and tool.name_holds not in done.parts[0].path.name.lower():
        console.note(
            f"apps take a CSV for {tool.name} by '{tool.name_holds}' in its name, so rename the files before the "
            "upload, or choose such an --out"
        )
    if not done.parts:
        console.say("no file was written: no row has a link to upload")
        raise typer.Exit(1)


def _data(done: Uploaded, importer: Importer, tool: Tool, link_column: str) -> dict[str, object]:
    return {
        "rows": importer.rows,
        "rejected": dict(importer.rejected),
        "for": tool.name,
        "link_column": link_column,
        "uploaded": sum(part.rows for part in done.parts),
        "not_uploaded": {why.replace(" ", "_"): number for why, number in done.left_out.items()},
        "files": [
            {"file": str(part.path), "identifier": part.identifier, "rows": part.rows, "bytes": part.size}
            for part in done.parts
        ],
    }


def _size(number: int) -> str:
    return f"{number / 1_000_000:.1f} MB" if number >= 100_000 else f"{number:,} bytes"
