"""A merge in one line: exports in, merged files out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from worker.campaigns.containers.expand import expand
from worker.campaigns.dedup import JobIndex
from worker.campaigns.importer import Importer
from worker.campaigns.options import ImportOptions
from worker.merging.files import targets
from worker.merging.merge import Merge, Merged
from worker.merging.merged_rows import OptedOut
from worker.merging.returned import ReturnedResults
from worker.model.job import Job

Answer = Callable[[Job], Mapping[str, Any] | None]


def answered(job: Job) -> Mapping[str, Any] | None:
    """A result with a link that tells whose it is."""
    who = job.customer.email or job.customer.shopid or job.customer.bhid
    return {
        "outcome": "sent",
        "message": 'Danke, "Zoë";\nbis bald',
        "referral": {"link": f"https://x.test/{who}", "status": "invited", "sent_at": "2026-09-01T00:00:00Z"},
        "share_action": {"url": f"https://wa.test/?text={who}", "n": 1},
    }


@dataclass
class Done:
    """What a merge came to."""

    merged: Merged
    files: Mapping[str, bytes]


@pytest.fixture
def merge(tmp_path: Path) -> Callable[..., Done]:
    """Merges exports, given as their paths, with results that ``answer`` makes of their jobs. ``amid`` is called once
    the exports are opened."""

    def merging(
        paths: Sequence[Path],
        answer: Answer = answered,
        out: str = "merged",
        amid: Callable[[], object] = lambda: None,
        opted_out: OptedOut | None = None,
        **asked: Any,
    ) -> Done:
        options = ImportOptions(**{"shop": "acme", "campaign": "spring", "channel": "whatsapp"} | asked)
        files = expand(paths, print)

        def importer(index: JobIndex) -> Importer:
            return Importer(files, options, index=index, published_at=None, allowed_shops=None, keep_rejects=False)

        with JobIndex() as index:
            jobs = list(importer(index))
        results = [
            {**job.model_dump(mode="json"), "code": None, **came} for job in jobs if (came := answer(job)) is not None
        ]
        with JobIndex() as index, ReturnedResults() as returned:
            returned.take(results)
            merge = Merge(importer(index), returned, options.encoding, opted_out)
            targeted = targets([export.file for export in merge.exports], tmp_path / out)
            amid()
            merged = merge(targeted)
        return Done(merged, {path.name: path.read_bytes() for path in targeted})

    return merging
