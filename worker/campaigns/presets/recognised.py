"""What an export was recognised as, and what it tells about the consent of its rows. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worker.campaigns.cell_text import folded
from worker.campaigns.identifiers import NULLS
from worker.campaigns.presets.preset import Preset
from worker.campaigns.presets.rules import ByValue, Rule
from worker.campaigns.reject_reasons import CONSENT, RejectReason

_SMS = "sms"

_NO_VALUES = frozenset({"no", "false", "0"})
"""Values that plainly say no, also where a table leaves them to ``otherwise``."""

_SAID: frozenset[RejectReason] = frozenset({"unsubscribed", "suppressed"})


@dataclass(frozen=True)
class Recognised:
    """An export's preset, with the rules whose columns it has.

    Each rule comes with the index of its first cell among the cells of consent. ``every_row`` is the reason of all
    rows, if the whole file has one status. ``untold``: the export doesn't tell consent, and the command ignores that.
    """

    preset: Preset | None = None
    why: str = ""
    every_row: RejectReason | None = None
    untold: bool = False
    rules: Sequence[tuple[Rule, int]] = ()
    sms: Sequence[tuple[Rule, int]] = ()
    default_channel: str = ""

    @property
    def name(self) -> str | None:
        """The preset's name; None if the export is of no known tool."""
        return self.preset.name if self.preset is not None else None

    @property
    def suppresses(self) -> bool:
        """Whether the export is nothing but a list of people who must not be written to."""
        return self.preset is not None and self.preset.suppression

    @property
    def staying(self) -> frozenset[RejectReason]:
        """The reasons in a file of rejected rows for which its rows stay out as long as they are there.

        They may come from the name of another file or from a suppression list, which the rejects file knows nothing of.
        ``no_consent`` mostly comes from cells, which are judged anew: perhaps with another ``--consent``.
        """
        by_file = self.preset is not None and self.preset.status == "file name"
        return CONSENT if by_file else _SAID

    def veto(self, cells: Sequence[str], channel: str) -> RejectReason | None:
        """Why nobody may write to the row's person; None if nothing is known against it.

        ``cells`` are those of the row's columns of consent, ``channel`` is the row's own or empty. The consent to
        e-mails counts whatever the channel is: a link of any channel goes back into the tool, whose next mailing brings
        it to the customer. In rows for sms, the consent to text messages must be there as well, where the export tells
        it, since such a link is made to be sent by one.
        """
        if self.every_row is not None:
            return self.every_row
        for rule, first in self._asked(channel):
            if (reason := rule.judge(cells, first)) is not None:
                return reason
        return None

    def unknown(self, cells: Sequence[str], channel: str) -> Iterator[tuple[str, str]]:
        """Column and value of each cell that counts as no consent because the value isn't known; as :meth:`veto`.

        If a tool names its values anew, every row stays out, and a person must learn why.
        """
        for rule, first in self._asked(channel):
            if isinstance(rule, ByValue) and rule.otherwise == "no_consent":
                value = folded(cells[first])
                if value and value not in rule.verdicts and value not in _NO_VALUES:
                    yield rule.column, cells[first].strip()

    def _asked(self, channel: str) -> Sequence[tuple[Rule, int]]:
        """The rules that count in a row of this channel."""
        if self.sms and ("" if channel in NULLS else channel or self.default_channel).casefold() == _SMS:
            return (*self.rules, *self.sms)
        return self.rules
