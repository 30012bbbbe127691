"""In front of uvloop on ``PYTHONPATH``: taskiq runs on asyncio's own event loop then, as without the package."""

raise ImportError("left out")
