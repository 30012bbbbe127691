"""What a command says about its exports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from worker.campaigns.consent import Condition, check_conditions
from worker.campaigns.presets.recognition import NO_PRESET
from worker.campaigns.presets.table import PRESETS
from worker.errors import UsageError
from worker.model.job import Customer, Job
from worker.model.validation import explain


@dataclass(frozen=True)
class ImportOptions:
    """How exports become jobs.

    ``shop`` and ``channel`` are for rows that name none. ``mapping`` is the column by canonical field; a row must meet
    every condition of ``consent`` (see :func:`parse_mapping` and :func:`parse_consent` for their command-line forms).
    ``preset`` and ``ignore_consent`` are as :class:`~worker.campaigns.presets.recognition.Recognition` describes them.
    ``encoding`` is that of all exports; with None each line decides (see :mod:`worker.campaigns.exports.text`).
    ``limit`` is a number of jobs. ``rejects`` is one file for all exports; with None each export has its own,
    ``EXPORT.rejects.csv``. ``run`` is 0 but for replays.
    """

    shop: str | None
    campaign: str
    channel: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    consent: Sequence[Condition] = ()
    preset: str | None = None
    ignore_consent: bool = False
    encoding: str | None = None
    limit: int | None = None
    rejects: Path | None = None
    run: int = 0
    not_after: datetime | None = None
    window: str | None = None

    def check(self) -> None:
        """Check that jobs can be made with these options.

        Raises:
          UsageError: no job can have one of the values.
        """
        # The job model has the rules, so a sample job is made with these values, and with good ones for the rest.
        try:
            Job.create(
                shop="any" if self.shop is None else self.shop,
                campaign=self.campaign,
                customer=Customer(shopid="any"),
                channel="any" if self.channel is None else self.channel,
                destination="any@example.com",
                run=self.run,
                not_after=self.not_after,
                window=self.window,
            )
        except ValidationError as error:
            raise UsageError(f"no job can be made with these options: {explain(error)}") from None
        except ValueError:
            raise UsageError(
                "no job can be made with these options: the campaign or the channel is not valid Unicode"
            ) from None
        # Conditions that no row can meet would look like a campaign without consent.
        check_conditions(self.consent)
        if self.preset is not None and self.preset not in (NO_PRESET, *PRESETS):
            raise UsageError(
                f"--preset {self.preset}: is not known; give {', '.join(PRESETS)}, or {NO_PRESET} to recognise none"
            )
        if self.limit is not None and self.limit < 0:
            raise UsageError(f"--limit {self.limit}: must be 0 or more")
