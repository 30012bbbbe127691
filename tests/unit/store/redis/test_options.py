"""Every part of the store's URL counts, or the URL is refused with how to write it."""

import pytest

from worker.clock import SystemClock
from worker.errors import ConfigurationError
from worker.store.redis.store import RedisStore

REFUSED = {
    "redis://:s3cret@valkey/0#1": "what follows a # is dropped; write %23",
    "redis://:s3cret@valkey/0?db=3": "names a database twice",
    "redis://:s3cret@valkey?db=1&db=2": "db: is given twice",
    "redis://:s3cret@valkey?db=": "db: has no value",
    "redis://:s3cret@valkey?db=jobs": "db: is not the number of a database",
    "redis://:s3cret@valkey/0/1": "is not a URL like redis://",
    "redis://:s3cret@valkey/0;x=1": "is not a URL like redis://",
    "redis://:s3cret@valkey/0?socket_timeout=9": "leave out the option 'socket_timeout'",
    "unix://run/valkey.sock": "unix:///",
}


@pytest.mark.parametrize(("url", "told"), REFUSED.items())
def test_what_would_be_dropped_is_refused(url: str, told: str) -> None:
    """One line says what would not count, before anything connects, and shows nothing of the password."""
    with pytest.raises(ConfigurationError, match=r"^REFERRALS_REDIS_URL: ") as refused:
        RedisStore(url, SystemClock())
    assert told in str(refused.value)
    assert "s3cret" not in str(refused.value)
