"""The jobs of the fault suite, made from the documented format alone: what a producer in any language would publish."""

import hashlib
import json
import time
from dataclasses import dataclass

CAMPAIGN = "faults"
CHANNEL = "whatsapp"
DOMAIN = "faults.example"
"""Of every address here: found in a log, it is a leak."""


@dataclass(frozen=True)
class FaultJob:
    """A job of its own customer, and so with an id of its own."""

    shop: str
    number: int
    reference: str | None = None
    campaign: str = CAMPAIGN

    @property
    def email(self) -> str:
        # It names the campaign, so that the receiving side, which isn't told, knows the job.
        return f"{self.campaign}-{self.number}@{DOMAIN}"

    @property
    def job_id(self) -> str:
        return job_id(self.shop, self.email)

    def message(self, **changed: object) -> bytes:
        """The message's body; ``changed`` replaces fields of the job, whether or not it makes sense."""
        job = {
            "schema": 1,
            "job_id": self.job_id,
            "campaign": self.campaign,
            "shop": self.shop,
            "run": 0,
            "reference": self.reference,
            "customer": {"email": self.email},
            "channel": CHANNEL,
        } | changed
        body = {
            "queue_name": "referrals",
            "actor_name": "refer",
            "args": [],
            "kwargs": {"job": job},
            "options": {},
            "message_id": self.job_id,
            "message_timestamp": int(time.time() * 1000),
        }
        return json.dumps(body).encode()


def job_id(shop: str, email: str) -> str:
    """The id of a customer's one job."""
    identity = [shop, campaign_of(email), 0, None, None, email, CHANNEL, None]
    compact = json.dumps(identity, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(compact.encode()).hexdigest()[:32]


def campaign_of(email: str) -> str:
    """The campaign that the customer is in."""
    return email.partition("-")[0]
