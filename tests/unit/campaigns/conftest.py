"""An import in one line: text or bytes in, the jobs and the importer out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from worker.campaigns.containers.plain import PlainFile
from worker.campaigns.dedup import JobIndex
from worker.campaigns.importer import Importer
from worker.campaigns.options import ImportOptions
from worker.model.job import Job


@dataclass
class Imported:
    """What an import came to. ``rejects`` are (line, reason) in the order they were written."""

    importer: Importer
    jobs: Sequence[Job]

    @property
    def emails(self) -> list[str | None]:
        return [job.customer.email for job in self.jobs]

    @property
    def rejects(self) -> list[tuple[int, str]]:
        lines = [row.split(",")[:2] for path in self.importer.reject_files for row in path.read_text().splitlines()[1:]]
        return [(int(line), reason) for line, reason in lines]


Import = Callable[..., Imported]


@pytest.fixture
def run_import(tmp_path: Path) -> Import:
    """Runs an import: contents by position, options by name; a file is ``0.csv``, ``1.csv`` …"""

    def imported(
        *contents: str | bytes,
        suffix: str = ".csv",
        finished: Sequence[str] = (),
        shops: frozenset[str] | None = None,
        **options: Any,
    ) -> Imported:
        paths = [tmp_path / f"{number}{suffix}" for number, _ in enumerate(contents)]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        asked = ImportOptions(**{"shop": "acme", "campaign": "spring", "channel": "whatsapp"} | options)
        with JobIndex() as index:
            index.mark_finished(finished)
            importer = Importer(
                [PlainFile(path) for path in paths], asked, index=index, published_at=None, allowed_shops=shops
            )
            return Imported(importer, list(importer))

    return imported
