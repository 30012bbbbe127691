"""``--window``: hours of a campaign's own, beside those that its shop keeps."""

from worker.campaigns.channels import spelled
from worker.campaigns.options import ImportOptions
from worker.cli import console
from worker.clock import SystemClock
from worker.errors import UsageError
from worker.model.windows import EXAMPLE, LOOK_AHEAD, both, window_of
from worker.shops.config import ListedShop


def check_window(options: ImportOptions, shop: ListedShop | None) -> None:
    """Check the option, and say where it holds nothing back; ``shop`` is the one that the command names.

    Raises:
      UsageError: it can't be read, or the shop's own window is never open at the same time.
    """
    if options.window is None:
        return
    try:
        window_of(options.window)
    except ValueError as error:
        raise UsageError(f"--window: {error}") from None
    if shop is None:
        return
    now = SystemClock().now()
    window = both(shop.window, options.window)
    if window is not None and window.opens_at(now) >= now + LOOK_AHEAD:
        raise UsageError(
            f"--window: is never open together with the window of {shop.slug} ({shop.window}); give hours within that, "
            f'such as "{EXAMPLE}"'
        )
    channel = spelled(options.channel or "")
    if channel and not shop.keeps_hours(channel):
        console.note(
            f"--window: holds back no jobs of the channel {channel}, since window_channels of {shop.slug} in the shops "
            f"file are {', '.join(shop.window_channels) or 'none'}"
        )
