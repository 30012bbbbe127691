"""The channel of a row: its own, in the vendor's spelling, or the one that the command gives."""

import difflib
from itertools import islice

from worker.campaigns.columns import normalized, shown_value
from worker.campaigns.exports.base import Export
from worker.campaigns.identifiers import NULLS, is_spreadsheet_error
from worker.campaigns.warnings import ImportWarnings
from worker.errors import UsageError
from worker.model.job import KNOWN_CHANNELS, UNKNOWN_CHANNEL

LOOKED_AT = 1000
"""Rows at the start of an export that are checked before any row is sent."""

_REMEMBERED = 1000
"""Spellings that are remembered. A column of free texts must not fill the memory."""

_ALIKE = 0.8
"""``difflib``'s ratio above which a name counts as misspelt: ``emial`` has 0.8, ``wattsapp`` 0.875."""

_KNOWN = {normalized(channel): channel for channel in KNOWN_CHANNELS}


class Channels:
    """The channels of rows. Rows that name none get ``default``. ``mapped``: the command names the column itself.

    A column that is called `channel` by chance may be about something else, such as where an order came from (``Online
    Store``). So beside a ``default`` its values must be known channels. In all other cases an unknown channel is sent
    unchanged, after a warning: the vendor adds channels without notice.
    """

    def __init__(self, default: str | None, *, mapped: bool, warnings: ImportWarnings) -> None:
        self._default = spelled(default or "")
        if self._default and self._default not in KNOWN_CHANNELS:
            warnings.value("channel", self._default, UNKNOWN_CHANNEL)
        self._must_be_known = default is not None and not mapped
        self._warnings = warnings
        self._found: dict[str, str] = {}

    def of(self, given: str) -> str:
        """The channel of a row whose cell is ``given``; empty if there is none, or if it can't be one."""
        return self._found.get(given) or self._find(given)

    def check(self, export: Export) -> None:
        """Check the export's first :data:`LOOKED_AT` rows. Reads them from the file.

        Raises:
          UsageError: the column `channel` holds something else.
          InputError: the export can't be read.
        """
        if not self._must_be_known:
            return
        for record in islice(export.records(), LOOKED_AT):
            given = record.values.channel if record.values is not None else ""
            if not (given in NULLS or is_spreadsheet_error(given) or self._may_be(spelled(given))):
                raise UsageError(
                    f"{export.file.name}: its column `channel` says {shown_value(given)} in line {record.line}, which "
                    "is not a known channel; give --map channel=- to send every row by --channel, or --map "
                    "channel=COLUMN to use a column's values as they are"
                )

    def _may_be(self, channel: str) -> bool:
        return not channel or channel in KNOWN_CHANNELS or channel == self._default

    def _find(self, given: str) -> str:
        channel = spelled(given) or self._default
        if self._must_be_known and not self._may_be(channel):
            self._warnings.value("channel", channel, "rows with the channel {} are rejected, see --map channel")
            return ""
        if channel and channel not in KNOWN_CHANNELS:
            self._warnings.value("channel", channel, UNKNOWN_CHANNEL)
        if len(self._found) < _REMEMBERED:
            self._found[given] = channel
        return channel


def check_default(given: str) -> None:
    """Refuse a ``--channel`` that looks like a misspelt known one, since every row would be sent by it.

    Any other unknown channel is accepted, because the vendor adds channels without notice. So is one that starts with
    ``custom-``, since shops name these alike on purpose.

    Raises:
      UsageError: it differs from a known channel by a letter or two.
    """
    channel = spelled(given)
    if channel in KNOWN_CHANNELS or channel.startswith("custom-"):
        return
    # Only names of about the same length: `fb-messenger` holds a known name and is another channel.
    near = [known for known in sorted(KNOWN_CHANNELS) if abs(len(known) - len(channel)) <= 1]
    if close := difflib.get_close_matches(channel.casefold(), near, n=1, cutoff=_ALIKE):
        raise UsageError(
            f"--channel {given}: is not a known channel; did you mean {close[0]}? Give --channel {close[0]}; "
            "if the vendor has a new channel of that name, put it into a column, see --map channel"
        )


def spelled(named: str) -> str:
    """A known channel in the vendor's spelling, another one as it is."""
    # "QR Code", "e-mail": in another spelling a known channel must still be treated as that channel, for example by
    # requiring a destination for e-mail.
    return _KNOWN.get(normalized(named), named)
