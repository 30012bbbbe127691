"""``referrals work``: runs a worker on RabbitMQ."""

from typing import Annotated

import typer

SHUTDOWN_MS = 90_000
"""How long Dramatiq waits for its threads: more than the longest call (20 s) and the wait for its confirm (30 s)."""


def work(
    processes: Annotated[
        int,
        typer.Option(
            "--processes", min=1, help="Worker processes, each on one core. More than one needs REFERRALS_REDIS_URL."
        ),
    ] = 1,
    threads: Annotated[int, typer.Option("--threads", min=1, max=500, help="Calls at once, per process.")] = 16,
) -> None:
    """Take jobs from every shop's queue and call Refer2 at the pace that each shop allows.

    SIGTERM drains: calls under way finish, their results are confirmed, all other jobs are requeued. The exit code is
    0 then.

    Example: `referrals work --threads 32`
    """
    from worker import settings
    from worker.telemetry import logs, metrics_folder

    loaded = settings.load()
    logs.configure(loaded.log_level, loaded.log_format)
    shared = metrics_folder.prepare_shared_metrics()
    try:
        # Imported only now: it imports prometheus_client, which decides on import where metrics live.
        from worker.app import preflight

        # Mistakes end here in one line. In Dramatiq's processes they would be reported once for each process.
        preflight(loaded, processes)

        from dramatiq.cli import main, make_argument_parser

        arguments = make_argument_parser().parse_args(  # type: ignore[no-untyped-call] # Dramatiq leaves it untyped
            [
                "worker.actors",
                "--processes",
                str(processes),
                "--threads",
                str(threads),
                "--worker-shutdown-timeout",
                str(SHUTDOWN_MS),
                "--skip-logging",
            ]
        )
        code = main(arguments)  # type: ignore[no-untyped-call] # the same
    finally:
        metrics_folder.discard_shared_metrics(shared)
    raise typer.Exit(code)
