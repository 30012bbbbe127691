"""``referrals sandbox``: runs the emulator of Refer2 as a program of its own."""

import inspect
import json
import re
from pathlib import Path
from typing import Annotated

import typer

from worker.cli import options
from worker.errors import ConfigurationError, UsageError
from worker.sandbox.misbehaviour import HELP


def sandbox(
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 for any free one.")
    ] = 8085,
    host: Annotated[
        str,
        typer.Option(
            "--host", help="Address to listen on. Keep it local: the sandbox shows whoever asks what it has received."
        ),
    ] = "127.0.0.1",
    log: Annotated[
        Path | None,
        typer.Option("--log", metavar="FILE", help="Append each call as a line of JSON.", show_default=False),
    ] = None,
    per_second: Annotated[float, typer.Option("--per-second", min=0.001, help="Writes a second, per shop.")] = 100,
    per_day: Annotated[int, typer.Option("--per-day", min=1, help="Writes a day, per shop.")] = 100_000,
    customer_per_second: Annotated[
        float, typer.Option("--customer-per-second", min=0.001, help="Writes a second, per customer.")
    ] = 2,
    customer_per_day: Annotated[
        int, typer.Option("--customer-per-day", min=1, help="Writes a day, per customer.")
    ] = 200,
    no_limits: Annotated[bool, typer.Option("--no-limits", help="Answer every call at once, without limits.")] = False,
    shops: Annotated[
        Path | None,
        typer.Option(
            "--shops",
            metavar="FILE",
            help="Accept only the shops of this shops file, with their own keys.",
            show_default=False,
        ),
    ] = None,
    customers: options.Customers = None,
    accepted: Annotated[
        float,
        typer.Option("--accepted", min=0, max=100, help="Percent of referrals that friends accept at once."),
    ] = 0,
    print_shop: Annotated[
        bool, typer.Option("--print-shop", help="Print the lines of a shop for the shops file, and serve nothing.")
    ] = False,
) -> None:
    """Emulate Refer2: tokens, customers, every documented error, share actions and the vendor's limits.

    Without --customers any id is a customer's; with it, only those of the file are, and their list is served. Without
    --shops it accepts every shop with one public key. `referrals sandbox --print-shop >> shops.toml` adds a shop that
    has this key.

    Example: `referrals sandbox --port 8085 --log calls.jsonl`
    """
    from worker.sandbox.config import SandboxConfig, make_limits
    from worker.sandbox.server import serve
    from worker.telemetry import logs

    logs.configure("WARNING", "console")
    if print_shop:
        if shops is not None:
            raise UsageError(
                "--print-shop: can't be used with --shops, which takes the keys from that file; leave one of them out"
            )
        if port == 0:
            raise UsageError("--print-shop: --port 0 means another port each time; name one")
        print(_shop(host, port), end="", flush=True)  # noqa: T201 - for a file
        return
    limits = make_limits(
        per_second=per_second,
        per_day=per_day,
        customer_per_second=customer_per_second,
        customer_per_day=customer_per_day,
    )
    keys = _keys(shops) if shops is not None else None
    config = SandboxConfig(
        shops=keys, limits=None if no_limits else limits, log=log, customers=customers, accepted=accepted / 100
    )
    serve(config, host, port)


def _shop(host: str, port: int) -> str:
    """The table of a shop that the sandbox knows, for the shops file."""
    from worker.model.rehearsal import SHOP
    from worker.network.addresses import authority
    from worker.sandbox.config import SANDBOX_KEY_ID, SANDBOX_SECRET

    # A shops file holds no secret itself, so the command that writes the secret's file stands in a comment.
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - what it listens on, not we
    url = f"http://{authority(reached, port)}"
    return (
        f"# `referrals sandbox` knows this shop. Its secret goes into a file beside this one:\n"
        f"#   printf %s {SANDBOX_SECRET} > sandbox.key\n"
        f"[shops.{SHOP}]\n"
        f"base_url = {json.dumps(url)}\n"
        f'key_id = "{SANDBOX_KEY_ID}"\n'
        f'secret_file = "sandbox.key"\n'
    )


def _keys(path: Path) -> dict[str, dict[str, str]]:
    """The key of each shop in a shops file, as the sandbox takes it.

    Raises:
      ConfigurationError: a shop has a ready-made token, or a secret that is not ASCII.
    """
    from worker.shops.credentials import SigningKey
    from worker.shops.file import read_shops

    keys = {}
    # The sandbox calls nobody, so it doesn't matter whether the file's URLs are safe for a key.
    for slug, shop in read_shops(path, plaintext_hosts=None).items():
        if not isinstance(shop.credential, SigningKey) or not shop.credential.secret.isascii():
            raise ConfigurationError(
                f"{path}: [shops.{slug}]: the sandbox checks tokens by a secret in ASCII; give key_id and secret_file"
            )
        keys[slug] = {shop.credential.key_id: shop.credential.secret.decode("ascii")}
    return keys


def _as_markdown(text: str) -> str:
    # The text is aligned for a terminal, and docs/commands has it as a list. Click keeps the lines that follow a \\b.
    listed = re.sub(r"^ *(\S+\+) +(.*)$", r"- `\1` \2", text, flags=re.MULTILINE)
    return listed.replace("\n- ", "\n\n\b\n- ", 1)


sandbox.__doc__ = f"{inspect.cleandoc(sandbox.__doc__ or '')}\n\n{_as_markdown(HELP)}"
