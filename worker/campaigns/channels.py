"""Which channel a row is sent by: its own, in the vendor's spelling, or the one that the command gives."""

import difflib
from itertools import islice

from worker.campaigns.columns import normalized, shown_value
from worker.campaigns.exports.base import Export
from worker.campaigns.identifiers import NULLS, is_spreadsheet_error
from worker.campaigns.warnings import ImportWarnings
from worker.errors import UsageError
from worker.model.job import KNOWN_CHANNELS, UNKNOWN_CHANNEL

LOOKED_AT = 1000
"""Rows at the start of an export that are looked at before any is sent."""

_REMEMBERED = 1000
_ALIKE = 0.8
"""``difflib``'s ratio from which a name passes for a misspelt one: ``emial`` has 0.8, ``wattsapp`` 0.875."""

_KNOWN = {normalized(channel): channel for channel in KNOWN_CHANNELS}


class Channels:
    """The channels of rows. ``default`` serves those that name none; ``mapped``: the command names the column.

    A column that merely happens to be called so can be about something else, such as where an order came from
    (``Online Store``). Beside a ``default`` its values must therefore be channels that are known. Otherwise an unknown
    one is sent as it is, after a warning: the vendor adds channels without notice.
    """

    def __init__(self, default: str | None, *, mapped: bool, warnings: ImportWarnings) -> None:
        self._default = _spelled(default or "")
        if self._default and self._default not in KNOWN_CHANNELS:
            warnings.value("channel", self._default, UNKNOWN_CHANNEL)
        self._must_be_known = default is not None and not mapped
        self._warnings = warnings
        self._found: dict[str, str] = {}

    def of(self, given: str) -> str:
        """The channel of a row that names this one; empty where there is none, or where it can't be meant."""
        return self._found.get(given) or self._find(given)

    def check(self, export: Export) -> None:
        """Look at the export's first :data:`LOOKED_AT` rows.

        Raises:
          UsageError: the column called so can't be meant.
          InputError: the export can't be read.
        """
        if not self._must_be_known:
            return
        for record in islice(export.records(), LOOKED_AT):
            given = record.values.channel if record.values is not None else ""
            if not (given in NULLS or is_spreadsheet_error(given) or self._may_be(_spelled(given))):
                raise UsageError(
                    f"{export.path}: its column `channel` says {shown_value(given)} in line {record.line}, which is "
                    "not a known channel; give --map channel=- to send every row by --channel, or --map "
                    "channel=COLUMN to use a column's values as they are"
                )

    def _may_be(self, channel: str) -> bool:
        return not channel or channel in KNOWN_CHANNELS or channel == self._default

    def _find(self, given: str) -> str:
        channel = _spelled(given) or self._default
        if self._must_be_known and not self._may_be(channel):
            self._warnings.value("channel", channel, "rows with the channel {} are rejected, see --map channel")
            return ""
        if channel and channel not in KNOWN_CHANNELS:
            self._warnings.value("channel", channel, UNKNOWN_CHANNEL)
        if len(self._found) < _REMEMBERED:
            self._found[given] = channel
        return channel


def check_default(given: str) -> None:
    """Refuse a ``--channel`` that is a known one misspelt: every row would be sent by it.

    The vendor adds channels without notice, so any other that is unknown is taken, as is one in a column. So is one
    that begins with ``custom-``: these are alike by intent.

    Raises:
      UsageError: it is a letter or two from a known channel.
    """
    channel = _spelled(given)
    if channel in KNOWN_CHANNELS or channel.startswith("custom-"):
        return
    # A longer name that holds a known one, such as `fb-messenger`, is another channel.
    near = [known for known in sorted(KNOWN_CHANNELS) if abs(len(known) - len(channel)) <= 1]
    if close := difflib.get_close_matches(channel.casefold(), near, n=1, cutoff=_ALIKE):
        raise UsageError(
            f"--channel {given}: is not a known channel; did you mean {close[0]}? Give --channel {close[0]}; "
            "if the vendor has a new channel of that name, put it into a column, see --map channel"
        )


def _spelled(named: str) -> str:
    # "QR Code", "e-mail": a channel that is known under another spelling must not lose what goes with it.
    return _KNOWN.get(normalized(named), named)
