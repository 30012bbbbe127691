"""A campaign's referrals and their customers, without keeping all in memory."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Self

from worker.campaigns.ranked_ids import SCRATCH, no_room
from worker.instants import from_datetime, in_utc, to_datetime
from worker.model.job import Customer
from worker.reporting.digests import digest

_SETUP = f"""
    {SCRATCH}
    CREATE TABLE referrals (shop TEXT, id BLOB, since INTEGER, PRIMARY KEY (shop, id)) WITHOUT ROWID;
    CREATE TABLE customers (shop TEXT, ids TEXT, PRIMARY KEY (shop, ids)) WITHOUT ROWID;
    BEGIN;
"""

_REFERRAL = """
    INSERT INTO referrals VALUES (?, ?, ?)
    ON CONFLICT (shop, id) DO UPDATE SET since = min(since, excluded.since)
"""


class CampaignReferrals:
    """Which referrals a campaign made, for whom, and since when: in memory up to 1 MiB, then in a temporary file.

    The file has no name and is gone with the process. For one thread.
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(_SETUP)
        self._since: dict[str, datetime] = {}

    def add(self, result: Mapping[str, Any]) -> None:
        """Take a result, given as its parsed JSON; one without a referral is passed over.

        Raises:
          InputError: the temporary file can't grow.
        """
        referral, shop = result.get("referral"), result["shop"]
        bhid = referral.get("referral_bhid") if isinstance(referral, dict) else None
        if not isinstance(bhid, str):
            return
        # Not the referral's own time: Refer2 reuses referrals, and who accepted before is not the campaign's.
        called = in_utc(datetime.fromisoformat(result.get("called_at") or result["finished_at"]))
        self._since[shop] = min(self._since.get(shop, called), called)
        ids = Customer.model_validate(result.get("customer") or {}).identity()
        try:
            self._db.execute(_REFERRAL, (shop, digest(bhid), from_datetime(called)))
            self._db.execute("INSERT OR IGNORE INTO customers VALUES (?, ?)", (shop, json.dumps(ids)))
        except sqlite3.OperationalError as error:
            raise no_room(error) from error

    @property
    def since(self) -> Mapping[str, datetime]:
        """When each shop's first referral was called for."""
        return self._since

    def since_of(self, shop: str, bhid: object) -> datetime | None:
        """When a referral of this campaign was first called for; None if it is none of this campaign's."""
        if not isinstance(bhid, str):
            return None
        found = self._db.execute("SELECT since FROM referrals WHERE shop = ? AND id = ?", (shop, digest(bhid)))
        row = found.fetchone()
        return to_datetime(row[0]) if row is not None else None

    def count(self, shop: str) -> int:
        """Customers of the shop who have a referral."""
        (count,) = self._db.execute("SELECT count(*) FROM customers WHERE shop = ?", (shop,)).fetchone()
        return int(count)

    def customers(self, shop: str) -> Iterator[Customer]:
        """Each customer of the shop who has a referral, once."""
        for (ids,) in self._db.execute("SELECT ids FROM customers WHERE shop = ?", (shop,)):
            yield Customer(**json.loads(ids))

    def close(self) -> None:
        """Close and remove the temporary file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
