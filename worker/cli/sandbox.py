"""``referrals sandbox``: the emulator of Refer2 as a program of its own."""

from pathlib import Path
from typing import Annotated

import typer

from worker.sandbox import HELP, SandboxConfig, make_limits, serve


def sandbox(
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 for any free one.")
    ] = 8085,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on. It tells what it received: keep it local.")
    ] = "127.0.0.1",
    log: Annotated[
        Path | None,
        typer.Option("--log", metavar="FILE", help="Append each call as a line of JSON.", show_default=False),
    ] = None,
    per_second: Annotated[float, typer.Option("--per-second", min=0.001, help="Writes a second, per shop.")] = 100,
    per_day: Annotated[int, typer.Option("--per-day", min=1, help="Writes a day, per shop.")] = 100_000,
    customer_per_second: Annotated[float, typer.Option("--customer-per-second", min=0.001)] = 2,
    customer_per_day: Annotated[int, typer.Option("--customer-per-day", min=1)] = 200,
    no_limits: Annotated[bool, typer.Option("--no-limits", help="Answer whatever comes, at once.")] = False,
) -> None:
    """Emulate Refer2: tokens, customers, every documented error, share actions, the vendor's limits.

    Example: `referrals sandbox --port 8085 --log calls.jsonl`
    """
    limits = make_limits(
        per_second=per_second,
        per_day=per_day,
        customer_per_second=customer_per_second,
        customer_per_day=customer_per_day,
    )
    serve(SandboxConfig(limits=None if no_limits else limits, log=log), host, port)


sandbox.__doc__ = f"{sandbox.__doc__}\n\n{HELP}"
