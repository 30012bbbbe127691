"""``referrals status``: the progress of campaigns, and the state of shops and queues."""

from typing import Annotated

import typer

from worker.cli import options


def status(
    campaign: Annotated[str | None, typer.Argument(help="Show this campaign only.", show_default=False)] = None,
    shop: Annotated[str | None, typer.Option("--shop", help="Show this shop only.", show_default=False)] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Show every campaign at every shop, however many there are.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every two seconds, until Ctrl-C.")] = False,
    as_json: options.Json = False,
) -> None:
    """Show for each campaign and shop what became of the jobs, how many are left, how fast it goes and for how long.

    If there are more than 20 shops, only those that need attention are shown, and campaigns as sums over all shops.
    --all and --shop show the rest, and --json has everything.

    Counts come from the store, so `REFERRALS_REDIS_URL` must be the workers'. Queue depths come from RabbitMQ's
    Prometheus endpoint (`REFERRALS_RABBITMQ_METRICS_URL`), or else from RabbitMQ itself. A line says when jobs are
    missing, that is when published is more than results + waiting + delayed + with a worker + dead. Another line says
    when no worker takes a shop's jobs; the time left is unknown then.

    Columns: `at worker` are jobs that a worker has and has not finished; `max/s` is the rate that is allowed now;
    `time left` is an estimate, without jobs that are held until somebody lets them go. It doesn't know the hours of
    `publish --window`, nor when a delay ends: `-` while all that isn't held waits for either. A line below the shop
    says so.

    If the store, RabbitMQ or the shops file can't be used, the rest is shown, and a line says what is missing. The exit
    code is then 1, or 2 for the shops file or a URL. No secret is read: whether one is wrong shows in the shop's state.

    Example: `referrals status spring --watch`
    """
    # Imported when used: --help needs none of it.
    from worker.cli.status.showing import show_status

    show_status(campaign, shop=shop, every=every, watch=watch, as_json=as_json)
