"""What a command says about the exports it is given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from worker.campaigns.consent import Condition, check_conditions
from worker.errors import UsageError
from worker.model.job import Customer, Job
from worker.model.validation import explain


@dataclass(frozen=True)
class ImportOptions:
    """How exports become jobs.

    ``shop`` and ``channel`` serve the rows that name none. ``mapping`` is canonical field to column; of ``consent`` all
    conditions must hold (see :func:`parse_mapping` and :func:`parse_consent` for their command-line forms).
    ``encoding`` is that of all exports; None leaves it to each line (see :mod:`worker.campaigns.exports.text`).
    ``limit`` counts jobs. ``rejects`` is one file for all exports; None makes one beside each, ``EXPORT.rejects.csv``.
    """

    shop: str | None
    campaign: str
    channel: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    consent: Sequence[Condition] = ()
    encoding: str | None = None
    limit: int | None = None
    rejects: Path | None = None
    run: int = 0
    not_after: datetime | None = None

    def check(self) -> None:
        """See whether jobs can be made with these.

        Raises:
          UsageError: a value that no job can have.
        """
        try:
            Job.create(
                shop="any" if self.shop is None else self.shop,
                campaign=self.campaign,
                customer=Customer(shopid="any"),
                channel="any" if self.channel is None else self.channel,
                destination="any@example.com",
                run=self.run,
                not_after=self.not_after,
            )
        except ValidationError as error:
            raise UsageError(f"no job can be made with these options: {explain(error)}") from None
        except ValueError:
            raise UsageError(
                "no job can be made with these options: the campaign or the channel is not valid Unicode"
            ) from None
        check_conditions(self.consent)
        if self.limit is not None and self.limit < 0:
            raise UsageError(f"--limit {self.limit}: must be 0 or more")
