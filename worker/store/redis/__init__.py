"""The store that processes share: Redis 6.2 or later, or Valkey. Nothing else in the worker speaks to it."""
