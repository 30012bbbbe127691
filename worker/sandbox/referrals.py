"""The referrals that were made, and the share actions that remain to be done. Pure."""

import hashlib
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from worker.instants import to_datetime
from worker.model.job import EMAIL_CHANNEL
from worker.model.rehearsal import LINKS
from worker.sandbox.responses import RefusedError

_PITCH = "A shop I like gives you a discount: "

_SHARE_URLS = {
    "sms": "sms:?&body={text}",
    "facebook": "https://www.facebook.com/sharer/sharer.php?u={link}",
    "messenger": "fb-messenger://share?link={link}",
    "whatsapp": "https://wa.me/?text={text}",
    "twitter": "https://twitter.com/intent/tweet?text={text}",
    "threads": "https://www.threads.net/intent/post?text={text}",
    "telegram": "https://t.me/share/url?url={link}",
}
"""URLs that open a channel with the text filled in. On every other channel the text is to be copied."""

_STATUSES = ("approved", "qualified", "approved", "rejected", "qualified")
"""What an acceptance can have come to; consecutive ones are those of one referral."""


@dataclass(frozen=True, slots=True)
class Referral:
    """One referral. ``sent_at`` is an instant in microseconds."""

    bhid: str
    shop: str
    channel: str
    destination: str | None = field(repr=False)
    sent_at: int

    @property
    def link(self) -> str:
        return f"{LINKS}{self.shop}/r/{self.bhid}"

    def document(self, *, masked: bool = False) -> dict[str, Any]:
        """The referral as Refer2 shows it, and CustomerReferrals2 as long as nobody has accepted it."""
        sent_at = to_datetime(self.sent_at).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "referral_bhid": self.bhid,
            "acceptance_bhid": None,
            "channel": self.channel,
            "destination": _mask(self.destination) if masked else self.destination,
            "status": "invited",
            "link": self.link,
            "sent_at": sent_at,
            "accepted_at": None,
            "updated_at": sent_at,
            "reward_pts": 500,
            "reward_pts_value": "5.000000",
            "coupon_code": None,
        }

    def acceptances(self, share: float, *, masked: bool = False) -> list[dict[str, Any]]:
        """An entry for each friend who accepted it, as CustomerReferrals2 shows them; none of most referrals.

        ``share`` of all referrals are accepted, by one to three friends, whose entries differ in their status.
        """
        # By a digest, so that the same referral is accepted by as many whenever somebody asks.
        digest = hashlib.blake2b(self.bhid.encode(), digest_size=4).digest()
        if int.from_bytes(digest[:2]) >= share * 2**16:
            return []
        entries = []
        for number, status in enumerate(_STATUSES[digest[2] % 3 :][: 1 + digest[3] % 3]):
            shown = self.document(masked=masked)
            shown["acceptance_bhid"] = f"{self.bhid}a{number}"
            shown["accepted_at"] = shown["sent_at"]
            shown["status"] = status
            if status != "approved":
                del shown["reward_pts"], shown["reward_pts_value"]
            entries.append(shown)
        return entries

    def share_action(self) -> dict[str, str] | None:
        """What the customer has to do next; None for e-mail, which the shop sends itself."""
        # The shop e-mails the friend. On every other channel the customer has to act.
        if self.channel == EMAIL_CHANNEL:
            return None
        text = _PITCH + self.link
        template = _SHARE_URLS.get(self.channel)
        if template is not None:
            url = template.format(text=quote(text, safe=""), link=quote(self.link, safe=""))
            return {"type": "open_url", "url": url, "text": text}
        if self.channel == "qr-code":
            return {"type": "show_qr_code", "content": self.link}
        return {"type": "copy_text", "text": text}


def read_channel(body: dict[str, Any]) -> tuple[str, str | None]:
    """The channel and the destination of a request; only e-mail has a destination.

    Raises:
      RefusedError: there is no channel, an e-mail has no address, or another channel has one.
    """
    channel, destination = body.get("channel"), body.get("destination")
    if not isinstance(channel, str) or not channel:
        raise RefusedError(400, "missing_channel", "channel is required")
    if channel != EMAIL_CHANNEL:
        if destination is not None:
            raise RefusedError(422, "unexpected_destination", "only the channel email takes a destination")
        return channel, None
    if not isinstance(destination, str) or not all(destination.strip().partition("@")):
        raise RefusedError(422, "invalid_destination", "the channel email needs an address as its destination")
    return channel, destination.strip()


class ReferralBook:
    """All referrals by customer. Asked for again, a referral is the one that exists: Refer2 reuses it too."""

    def __init__(self) -> None:
        self._by_customer: dict[tuple[str, str], dict[tuple[str, str], Referral]] = {}

    def refer(self, shop: str, customer: str, channel: str, destination: str | None, now: int) -> Referral:
        """The customer's referral for this channel and destination, made now if there is none."""
        made = self._by_customer.setdefault((shop, customer), {})
        # One referral for each channel and destination, as Refer2 does it.
        target = (channel, (destination or "").lower())
        referral = made.get(target)
        if referral is None:
            bhid = _bhid(shop, customer, *target)
            referral = made[target] = Referral(bhid, shop, channel, destination, now)
        return referral

    def of(self, shop: str, customer: str) -> list[Referral]:
        """The customer's referrals, oldest first."""
        return list(self._by_customer.get((shop, customer), {}).values())

    def all_of(self, shop: str) -> list[Referral]:
        """The referrals of all customers of a shop."""
        return [
            referral
            for (of_shop, _), made in self._by_customer.items()
            if of_shop == shop
            for referral in made.values()
        ]


def _bhid(*parts: str) -> str:
    """The id of a referral."""
    # A digest, so that a restarted sandbox gives a referral the same bhid as before. Ids may hold lone surrogates from
    # JSON, which plain UTF-8 can't encode.
    whole = "\0".join(parts).encode("utf-8", "surrogatepass")
    return "rf" + hashlib.blake2b(whole, digest_size=8).hexdigest()


def _mask(destination: str | None) -> str | None:
    """The destination as a customer token sees it: its first letter and its domain."""
    if destination is None:
        return None
    local, at, domain = destination.partition("@")
    return f"{local[:1]}***{at}{domain}"
