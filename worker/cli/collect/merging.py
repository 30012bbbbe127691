"""``referrals collect --merge``: what was collected, put into the exports that it came from."""

from collections.abc import Sequence
from pathlib import Path

from worker.campaigns.containers.expand import expand
from worker.campaigns.containers.spool import is_pipe
from worker.cli import uploading
from worker.cli.merging import check_out
from worker.errors import UsageError
from worker.merging.uploads.parts import refuse_existing


def kept_beside(out: Path) -> Path:
    """Where the results lie that are merged into ``out``: nothing is acknowledged that isn't on disk.

    Raises:
      UsageError: the path has no name of its own, as ``.`` has none.
    """
    if not out.name:
        raise UsageError(f"--out {out}: has no name for the results beside it; give a file, or a folder by its name")
    return out.with_name(f"{out.name}.results.csv")


def check_merge(exports: Sequence[Path], out: Path, results: Path | None, tool: str | None, column: str | None) -> None:
    """Check before anything is collected that the exports can be opened, and that no file is lost.

    Raises:
      UsageError, InputError: an option or a file can't be used; or an export is a pipe, which can't be read twice.
    """
    for export in exports:
        if is_pipe(export):
            raise UsageError(f"--merge {export}: can be read only once; save the export to a file first")
    files = expand(exports, lambda _: None)
    if uploading.upload_of(tool, column) is not None:
        refuse_existing(out)
    else:
        check_out(files, out, [results] if results is not None else [])
