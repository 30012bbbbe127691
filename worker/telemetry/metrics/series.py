"""Every metric: name, labels and help text in one place, in the order of docs/metrics.md."""

from typing import get_args

from prometheus_client import CollectorRegistry

from worker.model.campaign_orders import HoldKind
from worker.telemetry.metrics.catalogue import Catalogue

CALL_SECONDS = "refer2_call_duration_seconds"

CALL_BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 7.5, 10, 15, 20, 30)
"""Refer2 holds a call back for up to 5 s; 10 s is what the objective counts as good; 20 s is the deadline."""

# From publication to call: milliseconds on an idle system, days behind a daily quota.
QUEUE_BUCKETS = (0.01, 0.1, 1, 10, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 86_400, 3 * 86_400, 7 * 86_400)
# Urgent jobs: tenths of a second beside a campaign, longer once they are over their own limits.
URGENT_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 600, 3600, 86_400)
# In a worker's hands: a grant is used within milliseconds, and no delivery is held over 10 minutes.
HELD_BUCKETS = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 30, 60, 300, 600)
# Confirms: a write to disk on most of a queue's nodes.
BROKER_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)
# Round trips to the store, up to its time-out of 0.5 s.
STORE_BUCKETS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5)


class Series:
    """The metrics of one process, made in a registry; ``entries`` describes them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        made = Catalogue(registry)
        self.responses = made.counter(
            "refer2_responses_total",
            "Calls to Refer2 by outcome: ok, the error code, or a code of ours where no answer was readable.",
            "shop",
            "code",
        )
        self.call_duration = made.histogram(
            CALL_SECONDS,
            "Length of calls to Refer2, its own delay included; answered is false for 5xx and for no readable answer.",
            "answered",
            buckets=CALL_BUCKETS,
        )
        self.in_flight = made.gauge(
            "refer2_requests_in_flight", "Calls to Refer2 that are under way.", "shop", merge="sum"
        )
        self.credential_expiry = made.gauge(
            "refer2_credential_expiry_timestamp_seconds",
            "Unix time when a shop's ready-made token expires, by its own claim; shops that sign have none.",
            "shop",
            merge="min",
        )
        self.tokens_signed = made.counter(
            "refer2_tokens_signed_total", "Short-lived tokens signed with a shop's secret, renewals included."
        )
        self.results = made.counter(
            "referral_results_total", "Final results handed over for publication, by outcome.", "shop", "outcome"
        )
        self.publish_to_call = made.histogram(
            "referral_publish_to_call_seconds",
            "From a job's publication to its first call: queues, delays and limits together.",
            buckets=QUEUE_BUCKETS,
        )
        self.urgent_publish_to_call = made.histogram(
            "referral_urgent_publish_to_call_seconds",
            "The same for urgent jobs alone, which go before others.",
            buckets=URGENT_BUCKETS,
        )
        self.held_back = made.histogram(
            "referral_held_back_seconds",
            "From a job's arrival at the worker to its call: held by limits, a closed gate or busy threads; "
            "time in queues and in delay queues is not in it.",
            buckets=HELD_BUCKETS,
        )
        self.rate = made.gauge(
            "referral_rate_calls_per_second",
            "Calls a second that the shops file allows the shop.",
            "shop",
            merge="latest",
        )
        self.effective_rate = made.gauge(
            "referral_effective_rate_calls_per_second",
            "Calls a second of the shop at present: less than its rate after Refer2 refused some for their pace, "
            "or while `referrals shops limit` lowers it.",
            "shop",
            merge="min",
        )
        self.quota_left = made.gauge(
            "referral_quota_left_calls",
            "Calls left to the shop until its day's reset, as of this pod's last call; take the minimum over pods.",
            "shop",
            merge="min",
        )
        self.runnable = made.gauge(
            "referral_runnable_jobs_per_second",
            "Jobs a second of the shop that wait here and that its limits would allow; pods share shops: take the max.",
            "shop",
            merge="max",
        )
        self.capacity = made.gauge(
            "referral_capacity_jobs_per_second",
            "Jobs a second that the threads can do: their number divided by the mean length of recent calls.",
            merge="sum",
        )
        self.suppressed = made.counter(
            "referral_suppressed_jobs_total",
            "Jobs that end without a call because their customer or their destination is suppressed.",
        )
        self.suppressed_addresses = made.gauge(
            "referral_suppressed_addresses",
            "Addresses on the suppression lists of all shops, as a worker has heard of them last.",
            merge="latest",
        )
        self.shop_closed = made.gauge(
            "referral_shop_closed",
            "1 while no job of the shop may start, by reason; its rate limit alone is no reason. By reason window none "
            "of the channels that keep to it.",
            "shop",
            "reason",
            merge="max",
        )
        self.operator_order = made.gauge(
            "referral_operator_order_timestamp_seconds",
            "Unix time of the last order of an operator that a worker has heard of, by action; shop is _all for every "
            "shop and for what concerns none.",
            "action",
            "shop",
            merge="max",
        )
        self.worker_closed = made.gauge(
            "referral_worker_closed", "1 while no job of any shop may start, by reason.", "reason", merge="max"
        )
        self.ready = made.gauge(
            "referral_ready",
            "1 while the part works: rabbitmq, store, shops_file (0: the file as it is now can't be used), suppression "
            "(0: nobody is called, since the lists of suppressed addresses can't be relied on).",
            "part",
            merge="min",
        )
        self.unready = made.gauge(
            "referral_unready",
            "1 while the part does not work, by the reason of its last failure in one word, such as unreachable, "
            "silent, credentials, read_only, limit, no_key, other_key.",
            "part",
            "reason",
            merge="max",
        )
        self.jobs_at_hand = made.gauge(
            "referral_jobs_at_hand",
            "Jobs in the worker's hands: waiting for their shop, set_aside for their customer, handed out to a "
            "thread, or unconfirmed: a message about them is on its way to RabbitMQ.",
            "state",
            merge="sum",
        )
        self.deferrals = made.counter(
            "referral_deferrals_total",
            "Jobs put into a delay queue: their customer's turn had not come, their window was closed, or another "
            "worker has them under way.",
            "shop",
        )
        self.retries = made.counter(
            "referral_retries_total", "Calls that will be repeated, by the code of the last one.", "code"
        )
        self.unknowns = made.counter(
            "referral_unknown_calls_total", "Calls that may have been carried out without a readable answer.", "code"
        )
        self.verifications = made.counter(
            "referral_verifications_total",
            "Reads of a customer's referrals after a lost answer: found, missing (called again), or failed.",
            "result",
        )
        self.takeovers = made.counter(
            "referral_takeovers_total", "Jobs taken over from a worker that was not heard of again during their call."
        )
        self.ledger_hits = made.counter(
            "referral_ledger_hits_total",
            "Deliveries of jobs that were answered before: calls that were not made twice.",
        )
        self.pauses = made.counter(
            "referral_pauses_total",
            "Times that a shop's answers closed it, by cause; breaker is a failing upstream.",
            "cause",
        )
        self.refusals = made.counter(
            "referral_refusals_total",
            "Calls that a page refused (3xx, or 4xx without Refer2's error id), or Refer2 for a token that is good for "
            "other jobs, by what became of the job: put_aside, or failed where it alone was refused.",
            "then",
        )
        for then in ("put_aside", "failed"):
            self.refusals.labels(then)
        self.dead_letters = made.counter(
            "referral_dead_letters_total", "Messages put into referrals.dead, by reason.", "reason"
        )
        self.held_moves = made.counter(
            "referral_held_moves_total",
            "Jobs that were moved to their shop's held or paced lane, or to the held one's end.",
        )
        self.lanes_unusable = made.gauge(
            "referral_lanes_unusable",
            "Lanes that take no jobs, so that what is to wait there goes round by the delay queues; the log says "
            "which, and why (lane_unusable).",
            merge="max",
        )
        self.campaigns_held = made.gauge(
            "referral_campaigns_held",
            "Campaigns that are held, of one shop or of all: paused by an operator, stopped by their brake, or with a "
            "rest that waits to be released (first) or for its time (start).",
            "kind",
            merge="max",
        )
        for kind in get_args(HoldKind):
            self.campaigns_held.labels(kind)
        self.redeliveries = made.counter(
            "referral_redeliveries_total",
            "Deliveries of messages that were delivered before, whether granted or not: requeued unstarted, as by "
            "a closed shop or for want of memory, or their worker or connection has gone.",
        )
        self.reading_deaths = made.counter(
            "referral_reading_deaths_total",
            "Processes that died while they were reading a message, counted by the next process.",
        )
        self.confirm_duration = made.histogram(
            "referral_confirm_duration_seconds",
            "From handing a message over to RabbitMQ's confirm, refusals and reconnects included.",
            buckets=BROKER_BUCKETS,
        )
        self.publish_refusals = made.counter(
            "referral_publish_refusals_total", "Messages that RabbitMQ handed back or refused to take."
        )
        self.disconnects = made.counter(
            "referral_disconnects_total",
            "Times that the consumer's connection to RabbitMQ was lost or could not be opened.",
        )
        self.store_duration = made.histogram(
            "referral_store_duration_seconds",
            "Round trips to the store, of all commands that had gathered.",
            buckets=STORE_BUCKETS,
        )
        self.store_errors = made.counter(
            "referral_store_errors_total", "Commands to the store that failed, or whose reply was lost."
        )
        self.started = made.gauge(
            "referral_start_timestamp_seconds", "Unix time when the newest process of the worker began.", merge="max"
        )
        self.pump_beat = made.gauge(
            "referral_pump_timestamp_seconds", "Unix time when the consumer last went round.", merge="min"
        )
        self.stuck_threads = made.gauge(
            "referral_stuck_threads",
            "Worker threads busy with one job for longer than any call can last.",
            merge="sum",
        )
        self.build = made.gauge(
            "referral_build_info", "1; what is running.", "version", "python", "dramatiq", merge="max"
        )
        self.entries = tuple(made.entries)
