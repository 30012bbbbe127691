"""The store that processes share: Redis 6.2 or later, or Valkey."""

from worker.store.redis.store import RedisStore

__all__ = ["RedisStore"]
