"""`Referrals / Workers`: the processes, RabbitMQ and the store as they see them."""

from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import units

from scripts.programs.dashboards import queries as q
from scripts.programs.dashboards.board import Row, board, choice
from scripts.programs.dashboards.panels import ALARMED, Panel, lines, number, rows, states

MINE = '{instance=~"$instance"}'


def dashboard() -> models.Dashboard:
    """The dashboard."""
    instance = choice(
        "instance",
        "Worker",
        "Workers as Prometheus reaches them.",
        "label_values(referral_build_info, instance)",
        several=True,
    )
    about = "The workers: whether they run, keep up, and reach RabbitMQ and the store."
    return board("Workers", about, [("", [_running(), _missing()]), ("", _numbers()), *_history()], instance)


def _running() -> Panel:
    return rows(
        "Workers",
        "One row a worker (a pod). Ready is 0 if RabbitMQ, the store or the shops file is missing; a consumer that "
        "has not gone round for two minutes is restarted by its probe.",
        {
            "Ready": (units.Short, f"min by (instance) (referral_ready{MINE})"),
            "Went round": (
                units.DurationSeconds,
                f"time() - min by (instance) (referral_pump_timestamp_seconds{MINE})",
            ),
            "Calls/s": (units.RequestsPerSecond, q.pace("refer2_responses_total", "instance", MINE)),
            "Capacity": (units.OpsPerSecond, f"max by (instance) (referral_capacity_jobs_per_second{MINE})"),
            "Running": (units.Short, f"max by (instance, version, python, dramatiq) (referral_build_info{MINE})"),
        },
        labels={"instance": "Worker", "version": "Version", "python": "Python", "dramatiq": "Dramatiq"},
        none="No worker is seen.",
        sort="Went round",
    )


def _missing() -> Panel:
    return states(
        "What is missing",
        "When a worker had no RabbitMQ, no store or no usable shops file, and why, in a word. Jobs wait in "
        "RabbitMQ meanwhile.",
        f"max by (part, reason) (referral_unready{MINE})",
        legend="{{part}}: {{reason}}",
    )


def _closed() -> Panel:
    return states(
        "Closed for every shop",
        "When no job of any shop could start: the store is out of reach, or RabbitMQ blocks publishers (its memory or "
        "disk alarm).",
        f"max by (reason) (referral_worker_closed{MINE})",
        legend="{{reason}}",
    )


def _numbers() -> list[Panel]:
    return [
        number(
            "Workers reached",
            "Workers that Prometheus reaches.",
            units.Short,
            f"count(referral_build_info{MINE})",
            steps=((None, "red"), (1, "green")),
            none="0",
        ),
        number(
            "Workers that demand asks for",
            "What the limits allow now or, if that is more, the calls being made, divided by a worker's capacity.",
            units.Short,
            f"ceil({q.DEMAND} / {q.CAPACITY})",
        ),
        number(
            "Threads that are stuck",
            "Busy with one job for longer than any call can last; the probe restarts the worker.",
            units.Short,
            f"sum(referral_stuck_threads{MINE})",
            steps=ALARMED,
        ),
        number(
            "Connections lost",
            "To RabbitMQ, in the last hour.",
            units.Short,
            f"sum(increase(referral_disconnects_total{MINE}[1h]))",
            steps=((None, "green"), (1, "orange")),
        ),
        number(
            "Queues without a consumer",
            "Queues of open shops with jobs that no worker consumes.",
            units.Short,
            f"count({q.UNCONSUMED}) or vector(0)",
            steps=ALARMED,
        ),
        number(
            "Jobs taken over",
            "In the last hour, from workers that never reported back from a call.",
            units.Short,
            f"sum(increase(referral_takeovers_total{MINE}[1h]))",
            steps=((None, "green"), (1, "orange")),
        ),
    ]


def _history() -> list[Row]:
    return [
        (
            "Demand and capacity",
            [
                lines(
                    "What could run",
                    "Jobs a second that limits would let run, and that all workers can do. More "
                    "workers help only while the first is above the second.",
                    units.OpsPerSecond,
                    {"could run": q.RUNNABLE, "capacity": f"sum(referral_capacity_jobs_per_second{MINE})"},
                ),
                lines(
                    "Calls by worker",
                    "Calls to Refer2 a second.",
                    units.RequestsPerSecond,
                    {"{{instance}}": q.pace("refer2_responses_total", "instance", MINE)},
                    stacked=True,
                ),
                lines(
                    "Calls under way",
                    "Each holds a thread.",
                    units.Short,
                    {"{{instance}}": f"sum by (instance) (refer2_requests_in_flight{MINE})"},
                    stacked=True,
                ),
            ],
        ),
        (
            "Jobs in workers' hands",
            [
                lines(
                    "Jobs at hand",
                    "Waiting for their shop, set aside for their customer, handed out to a thread, or "
                    "unconfirmed: RabbitMQ has not confirmed a message about them.",
                    units.Short,
                    {"{{state}}": f"sum by (state) (referral_jobs_at_hand{MINE})"},
                    stacked=True,
                ),
                lines(
                    "Held back",
                    "From a job's arrival at a worker to its call: limits, a closed gate or busy threads.",
                    units.Seconds,
                    {f"{share:.0%}": q.quantile(share, "referral_held_back_seconds", MINE) for share in (0.5, 0.95)},
                ),
                lines(
                    "Calls not made twice",
                    "Deliveries a second of jobs that were answered before, jobs taken over, and tokens signed.",
                    units.OpsPerSecond,
                    {
                        "ledger hits": q.pace("referral_ledger_hits_total", where=MINE),
                        "takeovers": q.pace("referral_takeovers_total", where=MINE),
                        "tokens signed": q.pace("refer2_tokens_signed_total", where=MINE),
                    },
                ),
                lines(
                    "Suppression",
                    "Addresses on the suppression lists, as the workers know them, and jobs that ended in the last "
                    "hour since they were for one of these. Fewer addresses without an order are lost ones.",
                    units.Short,
                    {
                        "addresses": f"max(referral_suppressed_addresses{MINE})",
                        "jobs of the hour": f"sum(increase(referral_suppressed_jobs_total{MINE}[1h]))",
                    },
                ),
            ],
        ),
        (
            "RabbitMQ",
            [
                lines(
                    "Confirms",
                    "From handing a message over to RabbitMQ's confirm. A job is acknowledged only after its "
                    "result is confirmed.",
                    units.Seconds,
                    {
                        f"{share:.0%}": q.quantile(share, "referral_confirm_duration_seconds", MINE)
                        for share in (0.5, 0.95, 0.99)
                    },
                ),
                lines(
                    "Refused and lost",
                    "Messages a second that RabbitMQ handed back or refused, and connections that were "
                    "lost or could not be made.",
                    units.OpsPerSecond,
                    {
                        "refused": q.pace("referral_publish_refusals_total", where=MINE),
                        "connections": q.pace("referral_disconnects_total", where=MINE),
                    },
                ),
                lines(
                    "Delivered again",
                    "Messages a second that were delivered before, including requeued ones, and "
                    "workers that ended while reading one; jobs of held campaigns that were moved out of the way.",
                    units.OpsPerSecond,
                    {
                        "deliveries": q.pace("referral_redeliveries_total", where=MINE),
                        "moved aside": q.pace("referral_held_moves_total", where=MINE),
                        "ends while reading": q.pace("referral_reading_deaths_total", where=MINE),
                    },
                ),
                _closed(),
            ],
        ),
        (
            "Store",
            [
                lines(
                    "Round trips",
                    "To Redis or Valkey, of all commands that had gathered; the time-out is 0.5 s.",
                    units.Seconds,
                    {
                        f"{share:.0%}": q.quantile(share, "referral_store_duration_seconds", MINE)
                        for share in (0.5, 0.95, 0.99)
                    },
                ),
                lines(
                    "Errors",
                    "Commands a second that failed, or whose reply was lost.",
                    units.OpsPerSecond,
                    {"errors": q.pace("referral_store_errors_total", where=MINE)},
                ),
            ],
        ),
    ]
