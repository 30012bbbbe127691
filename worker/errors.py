"""Every error that this package raises on purpose.

::

    ReferralError
    ├── ConfigurationError        settings, the shops file or a secret can't be used: the command exits 2
    ├── UsageError                a command line or an export's header that makes no sense: exits 2
    ├── InputError                a file that can't be read or written: exits 1
    ├── CheckError                `referrals shops check` found a mistake (in worker.cli.shops.check): exits 1
    ├── UnidentifiedCustomerError ids that no customer token can carry (in worker.shops.credentials)
    ├── UnavailableError          a server is out of reach or refuses: exits 1
    │   ├── BrokerError           RabbitMQ
    │   │   ├── AccessRefusedError    this user may not do that; trying again changes nothing
    │   │   ├── UnroutableError       no queue takes the message, so nothing keeps it
    │   │   └── UnconfirmedError      the message may have been published or not
    │   ├── DatabaseError         PostgreSQL, which keeps results
    │   │   └── UnstorableError       a value that it can't keep (in worker.results.postgres.failures)
    │   └── StoreError            the shared state
    │       └── DamagedOrdersError    orders in it that can't be read
    └── DeadLetterError           a message that no retry can process; carries its reason

A message is one line that names the place and the remedy. It never holds an address, a token or a secret; one that
slips in is masked. Every foreign exception is mapped to one of these at the boundary of its library: pika's in
:mod:`worker.rabbitmq.failures`, Redis's in :mod:`worker.store.redis.refusals`, psycopg's in
:mod:`worker.results.postgres.failures`. HTTP's become verdicts instead (:mod:`worker.refer2.transport`).
"""

from collections.abc import Mapping, Sequence
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
    """Base of this package's errors; ``str()`` of it is the one line that a person reads.

    ``exit_code`` is what a command exits with when it ends by this error.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(one_line(mask(message)))


def raised_at(error: BaseException) -> str:
    """File and line at which an unexpected error was raised, for a log line.

    The error's own text may quote anything, addresses included, so it is not logged. A place in the source quotes
    nothing.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "?"


class ConfigurationError(ReferralError):
    """The configuration can't be used; nothing was started."""

    exit_code = 2


class UsageError(ReferralError):
    """The command makes no sense as given; nothing was done."""

    exit_code = 2


class InputError(ReferralError):
    """A file given to a command can't be read or written."""


class UnavailableError(ReferralError):
    """A server that everything depends on can't serve.

    ``reason`` is one word of a small set (``unreachable``, ``credentials``, ``limit`` …), which `/readyz` and the
    metric ``referral_unready`` show.
    """

    def __init__(self, message: str, *, reason: str = "refused") -> None:
        super().__init__(message)
        self.reason = reason


class BrokerError(UnavailableError):
    """RabbitMQ is out of reach, refused an operation or did not confirm a message in time."""


class AccessRefusedError(BrokerError):
    """RabbitMQ gives our user no permission for an operation; only an administrator can change that."""


class UnroutableError(BrokerError):
    """RabbitMQ has no queue for the message and returned it, so nothing keeps it: the caller still has to."""


class UnconfirmedError(BrokerError):
    """RabbitMQ has not confirmed the message in time: it may be in its queue, or not."""


class StoreError(UnavailableError):
    """The store that holds limits and ledger is out of reach; no call may start."""


class DamagedOrdersError(StoreError):
    """Strings of orders in the store can't be read, since another program has written there. ``keys`` are their names.

    Until they are begun anew no order can be given, and workers go on by those that they read last.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        super().__init__(
            f"the orders under {' and '.join(keys)} in the store can't be read: `referrals shops pause --all` begins "
            "them anew with every shop paused; docs/runbook.md#orders-that-cant-be-read",
            reason="damaged",
        )
        self.keys = tuple(keys)


class DatabaseError(UnavailableError):
    """PostgreSQL is out of reach or refuses: nothing was stored of what it was given, or nobody knows."""


class DeadLetterError(ReferralError):
    """A message that can't be processed however often it is retried: it belongs into ``referrals.dead``.

    ``detail`` explains the ``reason`` to a person. ``history`` counts what was tried by name, such as takeovers.
    """

    def __init__(self, reason: DeadReason, detail: str, *, history: Mapping[str, int] | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: DeadReason = reason
        self.detail = mask(detail)
        self.history = history or {}
