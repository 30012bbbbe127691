"""Expressions that more than one panel asks for. Pods share shops: what they say of one is never added up."""

NO_FAULT = "day_quota|reserve|throttled|window"
"""Reasons to be closed that are limits and hours doing their work."""

REJECTIONS = (
    "missing_customer_identity|empty_customer_identity|customer_identity_.+|no_customers_match_customer_identity"
)
"""Codes that are about one job, never about the shop."""

DEPLOYS = "count by (version) (referral_build_info) unless count by (version) (referral_build_info offset $__interval)"
"""A version that was not there a step before."""


# Recorded by monitoring/rules.yml.
RUNNABLE = "referral:runnable_jobs_per_second:sum"
DEMAND = "referral:demand_jobs_per_second:max"
CAPACITY = "referral:capacity_jobs_per_second:avg"

WAITING = "shop:referral_jobs_waiting:sum"
ETA = "shop:referral_backlog_eta:seconds"
OLDEST = "shop:referral_oldest_job_age:seconds"
CLOSED_SINCE = "shop:referral_closed_since:timestamp"
GOOD_CALLS = "referral:good_calls:ratio_rate1h"
UNCONSUMED = "shop:referral_unconsumed"


def closed(shop: str = ".+", reasons: str = f'reason!~"{NO_FAULT}"') -> str:
    """Shops that are closed, by reason; 1 or, for ``_other``, how many."""
    return f'max by (shop, reason) (referral_shop_closed{{shop=~"{shop}", {reasons}}}) > 0'


def halts(shop: str = ".+") -> str:
    """Shops that their answers closed: what an annotation marks for as long as it lasts."""
    return closed(shop, 'reason=~"halted|breaker|unlisted_code"')


def orders(shop: str = ".+") -> str:
    """Operators' orders of the last minute and a half, which is three scrapes: what an annotation marks."""
    given = f'referral_operator_order_timestamp_seconds{{shop=~"{shop}|_all"}}'
    return f"time() - max by (action, shop) ({given}) < 90"


def of_closed(value: str, shop: str = ".+") -> str:
    """``value`` (by shop) of shops that are closed, a row for each reason."""
    return f"({value}) * on (shop) group_right () sgn({closed(shop)})"


def last_error(shop: str = ".+") -> str:
    """For each closed shop the code that it met most in the last hour, jobs' own rejections left out."""
    codes = f'code!~"ok|rate_limit_exceeded|{REJECTIONS}"'
    most = f"topk by (shop) (1, sum by (shop, code) (increase(refer2_responses_total{{{codes}}}[1h])) > 0)"
    return f"sgn({closed(shop)}) * on (shop) group_left (code) {most}"


def quantile(share: float, histogram: str, where: str = "") -> str:
    """A quantile of a histogram in seconds, of all workers together."""
    return f"histogram_quantile({share}, sum by (le) (rate({histogram}_bucket{where}[$__rate_interval])))"


def queue(name: str, of: str = "messages") -> str:
    """What RabbitMQ says of a queue (a regular expression, its backslashes doubled); each node of a cluster may."""
    return f'sum(max by (vhost, queue) (rabbitmq_detailed_queue_{of}{{queue=~"{name}"}}))'


def pace(counter: str, by: str = "", where: str = "") -> str:
    """How many a second, of all workers."""
    grouped = f"sum by ({by})" if by else "sum"
    return f"{grouped} (rate({counter}{where}[$__rate_interval]))"
