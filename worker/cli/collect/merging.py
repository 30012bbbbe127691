"""``referrals collect --merge``: what was collected, put into the exports that it came from."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from worker.campaigns.containers.base import ExportFile
from worker.campaigns.containers.expand import expand
from worker.campaigns.containers.spool import is_pipe
from worker.cli import uploading
from worker.cli.merge import put_into
from worker.cli.merge_campaign import Asked
from worker.cli.merging import check_merge
from worker.cli.result_source import opened
from worker.errors import UsageError
from worker.merging.uploads.tool import Tool
from worker.model.names import campaign_key

_NAMED = 3
"""Other campaigns that are named; the largest."""


@dataclass(frozen=True)
class MergeAfterwards:
    """A merge that is checked before anything is collected, and done afterwards.

    ``kept`` is the file that the results are collected into, beside the merged one: nothing is acknowledged that isn't
    on disk. None if they go to a database.
    """

    files: Sequence[ExportFile]
    asked: Asked
    upload: tuple[Tool, str] | None
    out: Path
    kept: Path | None

    @classmethod
    def of(
        cls,
        exports: Sequence[Path],
        asked: Asked,
        tool: str | None,
        link_column: str | None,
        out: Path | None,
        *,
        keeps: bool,
    ) -> "MergeAfterwards":
        """Check all of it. ``keeps``: the results are to be in a file.

        Raises:
          UsageError, InputError: an option or a file can't be used, a file would be lost, or an export is a pipe, which
            can't be read twice.
        """
        if out is None:
            raise UsageError("--merge: needs --out, the file for the merged export")
        if not out.name:
            raise UsageError(
                f"--out {out}: has no name for the results beside it; give a file, or a folder by its name"
            )
        for export in exports:
            if is_pipe(export):
                raise UsageError(f"--merge {export}: can be read only once; save the export to a file first")
        kept = out.with_name(f"{out.name}.results.csv") if keeps else None
        files = expand(exports, lambda _: None)
        if kept is not None and kept.resolve() in [
            file.on_disk.resolve() for file in files if file.on_disk is not None
        ]:
            raise UsageError(f"{kept}: is to be merged into, and the results would come there; choose another --out")
        made = cls(files, asked, uploading.upload_of(tool, link_column), out, kept)
        check_merge(files, asked, made.upload, out, [kept] if kept is not None else [])
        if kept is None:
            asked.require_campaign("PostgreSQL")
        elif kept.exists():
            asked.require_campaign(str(kept))
        return made

    def others(self, campaigns: Mapping[str, int]) -> str | None:
        """What to know if results of other campaigns came too, by the counts of all; None if none did."""
        # Without a name the merge itself asks for one if there are several.
        if self.asked.campaign is None:
            return None
        own = campaign_key(self.asked.campaign)
        others = Counter({name: number for name, number in campaigns.items() if name != own})
        if not others:
            return None
        largest = others.most_common(_NAMED)
        named = ", ".join(f"{quote(name)} {number:,}" for name, number in largest)
        if (more := len(others) - len(largest)) > 0:
            named += f" and {more:,} more"
        place = f"--from {quote(str(self.kept))}" if self.kept is not None else "--postgres URL"
        command = f"referrals merge EXPORT --campaign {quote(largest[0][0])} {place} --out MERGED"
        return f"results of other campaigns came too, and don't come again: {others.total():,} ({named}); `{command}`"

    def merge(self, postgres: str | None, *, as_json: bool) -> None:
        """Merge what was collected; raises as :func:`~worker.cli.merge.put_into`."""
        results = [self.kept] if self.kept is not None else []
        with opened(results, postgres) as source:
            put_into(self.files, source, self.asked, self.upload, self.out, results, as_json=as_json)
