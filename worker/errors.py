"""Every error that this package raises on purpose.

::

    ReferralError
    ├── ConfigurationError     settings, the shops file, a secret: the command exits 2
    ├── UsageError             a command line or an export header that can't be meant: exits 2
    ├── UnidentifiedCustomerError ids that no customer token carries (in worker.shops.credentials)
    ├── InputError             a file that can't be read or written: exits 1
    ├── UnavailableError       a server is out of reach or refuses: exits 1
    │   ├── BrokerError        RabbitMQ
    │   │   ├── AccessRefusedError this user may not do that; trying again changes nothing
    │   │   ├── UnroutableError   no queue takes the message; it is in nobody's hands
    │   │   └── UnconfirmedError  nobody knows what became of the message
    │   └── StoreError         the shared state
    └── DeadLetterError        a message that no retry can mend; carries its reason

A message is one line, names the place and the remedy, and never holds an address, a token or a secret: what slips into
one is masked.
"""

from collections.abc import Mapping
from typing import Literal

from worker.text.masking import mask
from worker.text.visible import one_line

DeadReason = Literal[
    "undecodable",
    "oversized",
    "bad_schema",
    "bad_job_id",
    "unknown_actor",
    "unknown_shop",
    "unroutable",
    "crash_loop",
    "unreadable_result",
]


class ReferralError(Exception):
    """Base of this package's errors; ``str()`` of it is the one line that a person reads."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(one_line(mask(message)))


def place_of(error: BaseException) -> str:
    """Where in the source an unexpected error came up. Its text may hold anything, addresses included; this doesn't."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else "?"


class ConfigurationError(ReferralError):
    """The configuration can't be used; nothing was started."""

    exit_code = 2


class UsageError(ReferralError):
    """The command can't be meant as given; nothing was done."""

    exit_code = 2


class InputError(ReferralError):
    """A file given to a command can't be read or written."""


class UnavailableError(ReferralError):
    """A server that everything depends on can't serve; ``reason`` is the word that readiness has for it, of few."""

    def __init__(self, message: str, *, reason: str = "refused") -> None:
        super().__init__(message)
        self.reason = reason


class BrokerError(UnavailableError):
    """RabbitMQ is out of reach, refused an operation or did not confirm a message in time."""


class AccessRefusedError(BrokerError):
    """RabbitMQ gives our user no permission for an operation."""


class UnroutableError(BrokerError):
    """RabbitMQ has no queue for the message, so it was handed back and nothing keeps it."""


class UnconfirmedError(BrokerError):
    """RabbitMQ has not said in time what became of the message."""


class StoreError(UnavailableError):
    """The store that holds limits and ledger is out of reach; no call may start."""


class DeadLetterError(ReferralError):
    """A message that can't be processed however often it is tried; ``history`` counts what was tried, by name."""

    def __init__(self, reason: DeadReason, detail: str, *, history: Mapping[str, int] | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: DeadReason = reason
        self.detail = mask(detail)
        self.history = history or {}
