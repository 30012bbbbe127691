"""The scripts that the server runs, put together from the parts in ``lua/``."""

from importlib import resources

_PARTS = {
    "admit": ("scopes", "records", "finished", "lists"),
    "answer": ("records", "finished", "fence"),
    "retry": ("records", "finished", "fence"),
    "release": ("scopes", "records"),
    "known": ("records", "finished"),
    "settle": ("records", "finished", "tallies", "brake"),
    "block": ("scopes",),
    "slow_down": ("scopes",),
    "take_read": ("scopes",),
    "note": (),
    "inspect": ("scopes",),
    "closed": ("controls",),
    "watch": ("controls",),
    "control": ("controls", "ordering"),
    "campaign": ("controls", "ordering"),
    "lanes": ("controls", "ordering"),
    "orders": ("controls",),
    "listed": ("controls",),
    "suppress": ("lists",),
    "suppressed": ("lists",),
    "listing": ("lists",),
    "tally": ("tallies",),
    "tallied": (),
}
"""What each script is put together from; each part costs a script time, so it gets no more than it needs."""


def sources(server_clock: str = "") -> dict[str, str]:
    """The source of each script by its name. ``server_clock`` is Lua that redefines ``now_us()``, for tests that
    move the server's time. It comes after the part that defines it, and before all that use it.
    """
    # Read when a store is built, not at import: a worker without a server needs none of them.
    folder = resources.files("worker.store.redis") / "lua"
    texts = {part: (folder / f"{part}.lua").read_text() for part in {"keys", *_PARTS, *sum(_PARTS.values(), ())}}
    return {
        name: "\n".join([texts["keys"], server_clock, *(texts[part] for part in parts), texts[name]])
        for name, parts in _PARTS.items()
    }
