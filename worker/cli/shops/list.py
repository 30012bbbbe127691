"""``referrals shops list``: each shop's state, rates, and what is left of its day."""

from worker.cli import options


def list_shops(as_json: options.Json = False) -> None:
    """Show each shop's state, why it is closed, when the next call is tried, its rates, and what is left of its day.

    The state is read from the store that workers share, so `REFERRALS_REDIS_URL` must be theirs. A single worker
    without a store keeps its state in memory: then only the limits of the shops file are shown. The same holds while
    the store is out of reach (exit code 1). If a part of the shops file can't be used, the other shops are shown (exit
    code 2).

    A shop that is `halted`, or closed by `breaker` or `unlisted_code`, stays closed until a call, or a test of its
    token, gets a good answer. A next try in the past means that it is under way. If RabbitMQ answers, shops whose jobs
    no worker takes are named.

    Example: `referrals shops list --json`
    """
    # Imported when used: --help needs none of it.
    from worker.cli.shops.listing import show_shops

    show_shops(as_json=as_json)
