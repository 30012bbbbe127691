"""`Referrals / Shop`: one shop."""

from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import units

from scripts.programs.dashboards import queries as q
from scripts.programs.dashboards.board import Row, board, choice
from scripts.programs.dashboards.overview import closed_shops
from scripts.programs.dashboards.panels import Panel, lines, number, rows, states

SHOP = "$shop"

ONE = '{shop="$shop"}'


def dashboard() -> models.Dashboard:
    """The dashboard."""
    shop = choice(
        "shop",
        "Shop",
        "A shop of the shops file; _other is all that have no label of their own.",
        "label_values(refer2_responses_total, shop)",
        several=False,
    )
    about = "One shop: what holds its jobs back, its errors, its pace, and when it will be done."
    return board("Shop", about, [("", [_why(), _errors()]), ("", _numbers()), *_history()], shop, halted=SHOP)


def _why() -> Panel:
    return closed_shops(SHOP, "The shop is open.")


def _errors() -> Panel:
    return rows(
        "Errors in the last hour",
        "The shop's calls that did not come to ok, by code. Those that concern a single job are its result; the "
        "others hold the shop back.",
        {
            "Calls": (
                units.Short,
                'sort_desc(sum by (code) (increase(refer2_responses_total{shop="$shop", code!="ok"}[1h])) > 0)',
            )
        },
        labels={"code": "Error"},
        none="No errors.",
        sort="Calls",
    )


def _numbers() -> list[Panel]:
    return [
        number(
            "Jobs waiting", "In the shop's queue, those in workers' hands included.", units.Short, f"{q.WAITING}{ONE}"
        ),
        number(
            "Done in",
            "What waits now, at the pace of the last five minutes, or at what its limits allow where nothing moves: a "
            "closed shop begins when it opens.",
            units.DurationSeconds,
            f"{q.ETA}{ONE}",
            none="nothing waits",
        ),
        number(
            "Oldest job",
            "How long the oldest job has waited, at least: 5 or 15 minutes, 1 or 6 hours, a day.",
            units.DurationSeconds,
            f"{q.OLDEST}{ONE}",
            none="nothing waits",
        ),
        number(
            "Calls",
            "The shop's calls a second now.",
            units.RequestsPerSecond,
            q.pace("refer2_responses_total", where=ONE),
        ),
        number(
            "Allowed now",
            "Calls a second that its pace allows: less than the shops file says after Refer2 refused some.",
            units.RequestsPerSecond,
            f"min(referral_effective_rate_calls_per_second{ONE})",
        ),
        number(
            "Calls left today",
            "Until the shop's daily reset, as of its last call.",
            units.Short,
            f"min(referral_quota_left_calls{ONE})",
            steps=((None, "red"), (1, "orange"), (1000, "green")),
        ),
    ]


def _history() -> list[Row]:
    return [
        (
            "Calls and results",
            [
                lines(
                    "Calls by answer",
                    "The shop's calls a second by what they came to.",
                    units.RequestsPerSecond,
                    {"{{code}}": q.pace("refer2_responses_total", "code", ONE) + " > 0"},
                    stacked=True,
                ),
                lines(
                    "Results by outcome",
                    "The shop's final results a second.",
                    units.OpsPerSecond,
                    {"{{outcome}}": q.pace("referral_results_total", "outcome", ONE)},
                    stacked=True,
                ),
            ],
        ),
        (
            "Backlog",
            [
                lines(
                    "Jobs in its queue",
                    "Those that wait in RabbitMQ, and those that workers hold unacknowledged.",
                    units.Short,
                    {
                        "ready": q.queue("referrals\\\\.shop\\\\.$shop", "messages_ready"),
                        "in workers' hands": q.queue("referrals\\\\.shop\\\\.$shop", "messages_unacked"),
                    },
                    stacked=True,
                ),
                lines(
                    "Done in, over time",
                    "A straight fall means that the backlog is worked off as planned.",
                    units.DurationSeconds,
                    {"done in": f"{q.ETA}{ONE}"},
                ),
                lines(
                    "Workers that consume its queue",
                    "0 with jobs waiting: no worker runs, or the shop has been closed "
                    "for over a minute and its queue is left alone until it opens.",
                    units.Short,
                    {"consumers": q.queue("referrals\\\\.shop\\\\.$shop", "consumers")},
                ),
            ],
        ),
        (
            "Limits",
            [
                lines(
                    "Pace",
                    "Calls a second: made, allowed at present, allowed by the shops file, and what would run now "
                    "with enough workers.",
                    units.RequestsPerSecond,
                    {
                        "made": q.pace("refer2_responses_total", where=ONE),
                        "could run": f"max(referral_runnable_jobs_per_second{ONE})",
                        "allowed now": f"min(referral_effective_rate_calls_per_second{ONE})",
                        "shops file": f"max(referral_rate_calls_per_second{ONE})",
                    },
                ),
                states(
                    "Closed, by reason",
                    "When no job of the shop could start, and why; day_quota, reserve, throttled and window are its "
                    "limits and hours at work.",
                    f"max by (reason) (referral_shop_closed{ONE})",
                    legend="{{reason}}",
                ),
                lines(
                    "Held back for customers",
                    "Jobs a second that went into a delay queue since their customer's turn "
                    "had not come, and calls under way.",
                    units.Short,
                    {
                        "deferred a second": q.pace("referral_deferrals_total", where=ONE),
                        "calls under way": f"sum(refer2_requests_in_flight{ONE})",
                    },
                ),
            ],
        ),
    ]
