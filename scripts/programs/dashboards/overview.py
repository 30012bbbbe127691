"""`Referrals / Overview`: is anything wrong, where, since when, how much waits and until when."""

from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import units

from scripts.programs.dashboards import queries as q
from scripts.programs.dashboards.board import Row, board
from scripts.programs.dashboards.panels import ALARMED, Panel, bars, lines, number, rows, shop_lines

REASONS = {
    "halted": ("halted: refused, see the error", "red"),
    "breaker": ("upstream fails", "orange"),
    "unlisted_code": ("one unlisted error, over and over", "orange"),
    "backing_off": ("jobs were requeued", "yellow"),
    "paused": ("paused by hand", "blue"),
    "day_quota": ("today's calls are spent", "blue"),
    "reserve": ("what is left is kept for urgent jobs", "blue"),
    "window": ("outside of its hours", "blue"),
    "throttled": ("Refer2 said to wait", "yellow"),
}
"""Reasons to be closed in words."""

SEVERITIES = {"critical": ("critical", "red"), "warning": ("warning", "orange"), "info": ("info", "blue")}


def dashboard() -> models.Dashboard:
    """The dashboard."""
    about = "All shops and workers at a glance. Start here when paged; the first row names the shop."
    return board("Overview", about, [("", _wrong()), ("", _numbers()), *_history()])


def closed_shops(shop: str, none: str) -> Panel:
    """The answer to a page: which shop, why, since when, which error, how many jobs wait, when they will be done."""
    return rows(
        "Shops that are closed" if shop == ".+" else "Why the shop is closed",
        "Shops whose jobs don't start, limits aside: why, since when, the error code they met most in the last hour, "
        "the jobs that wait, and how long these take once the shop opens. No job is lost meanwhile.",
        {
            "Since": (units.DateTimeFromNow, f"1000 * ({q.CLOSED_SINCE} and on (shop, reason) {q.closed(shop)})"),
            "Jobs waiting": (units.Short, q.of_closed(q.WAITING, shop)),
            "Then done in": (units.DurationSeconds, q.of_closed(q.ETA, shop)),
            "Errors in the last hour": (units.Short, q.last_error(shop)),
        },
        labels={"shop": "Shop", "reason": "Why", "code": "Error"},
        none=none,
        sort="Jobs waiting",
        texts={"Why": REASONS},
    )


def _wrong() -> list[Panel]:
    firing = 'ALERTS_FOR_STATE{alertname=~"Referral.+"} and ignoring (alertstate) ALERTS{alertstate="firing"}'
    return [
        closed_shops(".+", "Every shop is open."),
        rows(
            "Alerts that fire",
            "Alerts of this system, the oldest first. docs/runbook.md has a section for each.",
            {"Since": (units.DateTimeFromNow, f"1000 * max by (alertname, severity, shop) ({firing})")},
            labels={"severity": "Severity", "alertname": "Alert", "shop": "Shop"},
            none="No alert fires.",
            sort="Since",
            descending=False,
            texts={"Severity": SEVERITIES},
        ),
    ]


def _numbers() -> list[Panel]:
    return [
        number(
            "Jobs waiting",
            "In the queues of all shops, those in workers' hands included.",
            units.Short,
            f"sum({q.WAITING})",
        ),
        number(
            "Done in",
            "Until the last shop has worked off what waits now: at its pace of the last five minutes, or at what its "
            "limits allow if nothing moves. If the quota ends first, another day comes on top.",
            units.DurationSeconds,
            f"max({q.ETA})",
            none="nothing waits",
        ),
        number(
            "Oldest job",
            "How long the oldest job has waited, at least: 5 or 15 minutes, 1 or 6 hours, a day.",
            units.DurationSeconds,
            f"max({q.OLDEST})",
            none="nothing waits",
        ),
        number("Calls", "Calls to Refer2 a second now.", units.RequestsPerSecond, q.pace("refer2_responses_total")),
        number(
            "Answered within 10 s",
            "Of all calls in the last hour, those that Refer2 answered within 10 s, whatever the answer. "
            "The objective is 99 %; at 94 % the error budget burns six times too fast.",
            units.PercentUnit,
            q.GOOD_CALLS,
            steps=((None, "red"), (0.94, "orange"), (0.99, "green")),
        ),
        number(
            "Dead letters",
            "Jobs and other messages parked in referrals.dead; `referrals dead list` shows them.",
            units.Short,
            q.queue("referrals\\\\.dead"),
            steps=ALARMED,
        ),
    ]


def _history() -> list[Row]:
    return [
        (
            "Calls and results",
            [
                lines(
                    "Calls by answer",
                    "Calls a second by what they came to: ok, the error code of Refer2 or of the "
                    "shop's own rules, or ours where no answer was readable.",
                    units.RequestsPerSecond,
                    {"{{code}}": q.pace("refer2_responses_total", "code") + " > 0"},
                    stacked=True,
                ),
                lines(
                    "Campaigns held",
                    "By why: paused by an operator, stopped by their brake, or with a rest that waits to be released "
                    "(first) or for its time (start). `referrals campaigns list` names them. Lanes that take no jobs: "
                    "the log names them (lane_unusable).",
                    units.Short,
                    {
                        "{{kind}}": "max by (kind) (referral_campaigns_held) > 0",
                        "lanes that take no jobs": "max(referral_lanes_unusable)",
                    },
                    stacked=True,
                ),
                lines(
                    "Results by outcome",
                    "Final results a second. Rejections are data; failed and unknown ones are not.",
                    units.OpsPerSecond,
                    {"{{outcome}}": q.pace("referral_results_total", "outcome")},
                    stacked=True,
                ),
            ],
        ),
        (
            "Backlog",
            [
                shop_lines(
                    "Jobs waiting, the ten largest",
                    "Messages in the shops' queues.",
                    units.Short,
                    f"topk(10, {q.WAITING})",
                    stacked=True,
                ),
                shop_lines(
                    "Done in, the ten last",
                    "How long each shop's backlog takes at its present pace, or at what its limits allow where nothing "
                    "moves; a closed shop begins when it opens.",
                    units.DurationSeconds,
                    f"topk(10, {q.ETA})",
                ),
                lines(
                    "From publication to call",
                    "Time that jobs of this moment spent in queues, delays and limits "
                    "together, until their first call.",
                    units.Seconds,
                    {
                        "half": q.quantile(0.5, "referral_publish_to_call_seconds"),
                        "95 %": q.quantile(0.95, "referral_publish_to_call_seconds"),
                    },
                ),
                lines(
                    "Urgent jobs, from publication to call",
                    "The same for urgent jobs alone; empty while there are none.",
                    units.Seconds,
                    {
                        "half": q.quantile(0.5, "referral_urgent_publish_to_call_seconds"),
                        "99 %": q.quantile(0.99, "referral_urgent_publish_to_call_seconds"),
                    },
                ),
            ],
        ),
        (
            "Limits",
            [
                lines(
                    "Pace",
                    "Calls a second: made, what shops with jobs at hand could make now, and what the shops file "
                    "allows all shops together.",
                    units.RequestsPerSecond,
                    {
                        "made": q.pace("refer2_responses_total"),
                        "could run": q.RUNNABLE,
                        "allowed now": "sum(min by (shop) (referral_effective_rate_calls_per_second))",
                        "shops file": "sum(max by (shop) (referral_rate_calls_per_second))",
                    },
                ),
                shop_lines(
                    "Refused for their pace",
                    "Share of each shop's calls that Refer2 answered by 429; some are "
                    "usual, and its pace falls by itself.",
                    units.PercentUnit,
                    "topk(10, "
                    + q.pace("refer2_responses_total", "shop", '{code="rate_limit_exceeded"}')
                    + " / "
                    + q.pace("refer2_responses_total", "shop")
                    + ")",
                ),
                bars(
                    "Calls left today, the ten least",
                    "Calls that the day's quota leaves to each shop; at 0, jobs wait for the daily reset.",
                    units.Short,
                    "bottomk(10, min by (shop) (referral_quota_left_calls))",
                    by="shop",
                    steps=((None, "red"), (1, "orange"), (1000, "green")),
                ),
            ],
        ),
        (
            "Refer2",
            [
                lines(
                    "Length of calls",
                    "Refer2 delays calls by up to 5 s before it refuses them: a rising length is the "
                    "first sign of pressure.",
                    units.Seconds,
                    {f"{share:.0%}": q.quantile(share, "refer2_call_duration_seconds") for share in (0.5, 0.95, 0.99)},
                ),
                lines(
                    "Calls without a good answer",
                    "Calls a second that are to be repeated, and those that may have been "
                    "carried out without a readable answer: on_unknown decides, and verify looks them up.",
                    units.RequestsPerSecond,
                    {
                        "repeated, {{code}}": q.pace("referral_retries_total", "code"),
                        "unknown, {{code}}": q.pace("referral_unknown_calls_total", "code"),
                        "looked up, {{result}}": q.pace("referral_verifications_total", "result"),
                    },
                ),
                lines(
                    "Shops that closed",
                    "How often a shop's answers closed it: refused (halted), a failing upstream "
                    "(breaker), one unlisted error over and over (unlisted_code).",
                    units.Short,
                    {"{{cause}}": "sum by (cause) (increase(referral_pauses_total[$__rate_interval]))"},
                ),
            ],
        ),
        (
            "After the call",
            [
                lines(
                    "Results not yet collected",
                    "Messages in referrals.results. A growing number: no collector runs, or it is too slow.",
                    units.Short,
                    {"referrals.results": q.queue("referrals\\\\.results")},
                ),
                lines(
                    "Dead letters by reason",
                    "Messages parked in referrals.dead.",
                    units.Short,
                    {"{{reason}}": "sum by (reason) (increase(referral_dead_letters_total[$__rate_interval]))"},
                ),
                rows(
                    "Credentials that end",
                    "Ready-made tokens by how soon they end. Shops that sign their own have none that ends.",
                    {
                        "Ends": (
                            units.DateTimeFromNow,
                            "1000 * bottomk(20, min by (shop) (refer2_credential_expiry_timestamp_seconds > 0))",
                        )
                    },
                    labels={"shop": "Shop"},
                    none="No shop has a ready-made token.",
                    sort="Ends",
                    descending=False,
                ),
            ],
        ),
    ]
