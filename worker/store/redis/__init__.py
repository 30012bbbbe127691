"""The store that processes share: Redis 6.2 or later, or Valkey."""

from worker.store.redis.store import HORIZON, SHORTEST_TURN, RedisStore

__all__ = ["HORIZON", "SHORTEST_TURN", "RedisStore"]
