"""Turns one row of an export into a job, or into the reason why it can't be one. No I/O."""

import pickle
import re
from collections.abc import Container, Sequence
from datetime import datetime
from typing import NamedTuple, Self

from pydantic import ValidationError

from worker.campaigns.channels import Channels
from worker.campaigns.consent import Consent
from worker.campaigns.exports.base import Values
from worker.campaigns.identifiers import NULLS, bare, can_be_id, is_shortened, is_spreadsheet_error
from worker.campaigns.interleave import ShopCustomer
from worker.campaigns.options import ImportOptions
from worker.campaigns.reject_reasons import RejectReason
from worker.campaigns.warnings import ImportWarnings
from worker.model.addresses import normalized_email
from worker.model.job import EMAIL_CHANNEL, SCHEMA, Job, customer_key, job_id_of
from worker.model.names import SLUG

ORDINARY = 64
"""Length up to which the job model accepts any ASCII text in any field. Only longer texts are validated by it."""

_NO_ID = "0" * 32
"""In place of the id of a job that is only validated."""

_MARKS = ("#", "Err:", *NULLS)
"""Every text that a spreadsheet or a database writes in place of a value contains one of these."""

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
"""Characters that steer a terminal or end a text. Tabs and line ends are allowed, since people type them."""

_REASON_OF: dict[str, RejectReason] = {
    "bhid": "bad_id",
    "shopid": "bad_id",
    "email": "no_customer",
    "customer": "no_customer",
    "channel": "bad_channel",
    "destination": "bad_destination",
    "sender": "bad_sender",
    "reference": "bad_reference",
    "shop": "no_shop",
}


class DraftJob(NamedTuple):
    """What differs from row to row in a job. Texts are trimmed, and empty if the row has none.

    It takes about 500 bytes, a fifth of a :class:`~worker.model.job.Job` (2,290). Interleaving holds thousands of them,
    packed into some 170 bytes each.
    """

    job_id: str
    line: int
    row: int
    shop: str
    bhid: str
    shopid: str
    email: str
    channel: str
    destination: str
    sender: str
    reference: str

    def who(self) -> ShopCustomer:
        """Shop and customer, by the same id that the limits use."""
        return self.shop, customer_key(self.bhid, self.shopid, self.email)

    def packed(self) -> bytes:
        """The draft in a third of its memory; for this process alone."""
        return pickle.dumps((*self,), pickle.HIGHEST_PROTOCOL)

    @classmethod
    def unpacked(cls, packed: bytes) -> Self:
        """The draft that :meth:`packed` returned."""
        return cls._make(pickle.loads(packed))  # noqa: S301 - no bytes from outside: packed in this process


class RowRules:
    """The rules for a row, in this order: consent, spreadsheet errors, shop, ids, customer, channel, destination.

    The first rule that a row breaks is its reason. ``shops`` are the slugs that may be called; None for any.
    """

    def __init__(
        self, options: ImportOptions, shops: Container[str] | None, warnings: ImportWarnings, consent: Consent
    ) -> None:
        self._options = options
        self._shops = shops
        self._warnings = warnings
        self._consent = consent
        self._known_shops: set[str] = set()
        self.channels = Channels(options.channel, mapped="channel" in options.mapping, warnings=warnings)

    def judge(self, export: str, line: int, row: int, values: Values) -> DraftJob | RejectReason:
        """The row as a draft of a job, or the reason why it can't be one.

        ``export``, the name of its file, is for warnings. ``row`` is the line in a spreadsheet.
        """
        # Consent first: a row without it is not looked at any further.
        if not self._consent.given(values.consent):
            return "no_consent"
        own: Sequence[str] = values[:-1]
        # One search in the joined text is cheaper than one in each of eight cells, and nearly all rows have no mark.
        joined = "".join(own)
        if any(mark in joined for mark in _MARKS):
            if any(map(is_spreadsheet_error, own)):
                return "spreadsheet_error"
            own = self._without_nulls(export, line, own)
        email, shopid, bhid, channel, destination, sender, reference, shop = own
        shop = shop or self._options.shop or ""
        # Most rows name a shop that was met before, so the slug's rule and the warning are for the first one only.
        if shop not in self._known_shops and not self._admits(shop):
            return "no_shop"
        # An id that can't be one is never dropped in favour of another id: the row may be torn or shifted.
        shopid, bhid = bare(shopid), bare(bhid)
        if not ((not shopid or can_be_id(shopid)) and (not bhid or can_be_id(bhid))):
            if is_shortened(shopid) or is_shortened(bhid):
                self._warnings.once(
                    f"shortened {export}",
                    f"{export}: a spreadsheet turned ids into numbers such as 7.2E+09 (first in line {line}), which "
                    "identify nobody; format their column as text before the ids are entered, and export again",
                )
                return "shortened_id"
            return "bad_id"
        # Refer2 requires that all given ids match one customer. So a text that is no address is dropped if another id
        # identifies the customer.
        email = (normalized_email(email) or "") if email else ""
        if not (email or shopid or bhid):
            return "no_customer"
        # Sender and reference are free texts that reach mails and files; a control character there can only do harm.
        if not joined.isprintable():
            if _CONTROL.search(sender):
                return "bad_sender"
            if _CONTROL.search(reference):
                return "bad_reference"
        named, channel = channel, self.channels.of(channel)
        if not channel:
            return "bad_channel" if named else "no_channel"
        if channel == EMAIL_CHANNEL:
            destination = (normalized_email(destination) or "") if destination else ""
            if not destination:
                return "bad_destination"
        elif destination:
            self._warnings.once(
                f"destination {export}",
                f"{export}: destinations are dropped where the channel takes none (first in line {line})",
            )
            destination = ""
        texts = (bhid, shopid, email, channel, destination, sender, reference)
        # The job model accepts every ordinary text, so only the few other rows pay for its validation.
        if max(map(len, texts)) > ORDINARY or not "".join(texts).isascii():
            try:
                self.job(DraftJob(_NO_ID, line, row, shop, *texts), None)
            except ValidationError as error:
                return _reason(error)
        campaign, run = self._options.campaign, self._options.run
        identity = job_id_of(shop, campaign, run, bhid, shopid, email, channel, destination)
        return DraftJob(identity, line, row, shop, *texts)

    def job(self, draft: DraftJob, published_at: datetime | None) -> Job:
        """The job of a draft that :meth:`judge` returned."""
        ids = {"bhid": draft.bhid or None, "shopid": draft.shopid or None, "email": draft.email or None}
        # Validated as one: with a Customer made first it takes half as long again.
        return Job.model_validate(
            {
                "schema": SCHEMA,
                "job_id": draft.job_id,
                "campaign": self._options.campaign,
                "shop": draft.shop,
                "run": self._options.run,
                "line": draft.line,
                "row": draft.row,
                "reference": draft.reference or None,
                "customer": ids,
                "channel": draft.channel,
                "destination": draft.destination or None,
                "sender": draft.sender or None,
                "published_at": published_at,
                "not_after": self._options.not_after,
                "window": self._options.window,
            }
        )

    def _without_nulls(self, export: str, line: int, cells: Sequence[str]) -> Sequence[str]:
        """The cells with empty ones in place of what databases write for no value."""
        if NULLS.isdisjoint(cells):
            return cells
        self._warnings.once(f"null {export}", rf"{export}: cells NULL and \N are read as empty (first in line {line})")
        return ["" if cell in NULLS else cell for cell in cells]

    def _admits(self, shop: str) -> bool:
        """Whether the shop may be named; adds a warning for an unknown one."""
        if not SLUG.fullmatch(shop):
            return False
        if self._shops is not None and shop not in self._shops:
            self._warnings.value("shop", shop, "rows of the shop {} are rejected: the shops file does not list it")
            return False
        self._known_shops.add(shop)
        return True


def _reason(error: ValidationError) -> RejectReason:
    """The reason of a row whose job the model refuses, by the field at fault."""
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return _REASON_OF.get(str(problem["loc"][-1]), "unreadable_row")
