"""docs/metrics.md, from the catalogue."""

from prometheus_client import CollectorRegistry

from worker.telemetry.http_server import MOST_CONNECTIONS
from worker.telemetry.metrics.labels import EXTRA_SERIES, OTHER_SHOPS, SHOPS, UNLISTED_CODES
from worker.telemetry.metrics.process import Metrics

MERGED = {"sum": "sum", "min": "least", "max": "most", "latest": "latest"}

PAGE = """\
# Metrics

{generated}

On `REFERRALS_METRICS_PORT`, one port for all processes of a worker: `/metrics`, `/livez` and `/readyz`. They are served
on `REFERRALS_METRICS_HOST`: by default this machine alone; in the image, all addresses. There is no password: let a
firewall or a NetworkPolicy decide who reaches the port. The pages name shops and the outcomes of their jobs, but no
campaign, no person and no secret.

Counters and histograms are summed over the processes, including those that have ended. Gauges of the living processes
become one value, as the column *of processes* says. Where traces are collected, the lengths of calls have
[exemplars](traces.md#exemplars).

| metric | type | labels | of processes | meaning |
|---|---|---|---|---|
{rows}

## How many series

{shops:,} shops make under 30,000 series a pod. A shop shows {declared} from the start, at 0: every documented
error code, every outcome, its gauges; then the quota it has left, and the end of a ready-made token. Series that come
with use, such as another code or a reason to be closed, are bounded by {extra:,} a process; the rest is counted under
the code `other` or the shop `{other}`. Of undocumented codes, which are each shop's own, a process shows the first
{unlisted} that it meets, then `other`.

`REFERRALS_METRICS_SHOPS` shops have a label of their own: the fastest by the shops file. The others share the label
`{other}`, which sums their counts, calls in flight, runnable jobs and closed shops; it has no rate, no quota and
no credential. A shop keeps its label until the process ends.

Worker processes count into files in a folder below `PROMETHEUS_MULTIPROC_DIR` (unless set, below `$TMPDIR`). Each
worker makes its own, `referral-metrics-…`, and removes those that killed workers left there. It leaves everything else
there, so that workers may share the place. A worker whose port is taken continues without it, tries again once a
second, and logs `metrics_port_taken` with the process that has it (`by`).

The files are mapped into memory. If the disk is full, a process ends by SIGBUS when a file grows, as it does with new
labels. So a process doesn't start unless 4 MiB are free (exit code 2). Give the folder a volume of its own, which
nobody else writes to, as `k8s/` and `compose.yaml` do.

## Probes

`/livez` is 200 while the consumer of every process has gone round within the last 2 minutes, and no thread is busy
with one job for longer than any call can last. It asks neither RabbitMQ nor the store: waiting jobs are no reason to
restart, whatever they wait for. `/readyz` is 200 while RabbitMQ and the store are reachable and the current shops file
can be used, and the lists of suppressed addresses can be relied on; its body names what is missing. Without RabbitMQ or
the store no call starts. With an unusable shops file, calls continue by its last good version, as the body says.
`/readyz` is 503 all the same, since a process that starts now would fail, and a rollout with that file must stop.

`not ready: suppression (…)` says that this worker calls nobody, since it can't rely on [the lists of suppressed
addresses](retention.md#people-who-must-not-be-contacted). So a rollout with a missing or wrong key stops before it
replaces workers that have the right one:

| reason | why |
|---|---|
| `no_key`, `other_key` | `REFERRALS_SUPPRESSION_KEY` is unset, or not the key of the lists |
| `lost`, `unfinished` | the store has lost changes of the lists, or gets them back by `referrals suppress restore` |
| `unknown` | it starts or is connected to the store anew, and the store or the lists' journal has not answered yet |

`referrals status`, `shops list` and `publish` name the workers in such a state, with what to do.

## Abusive requests

Nobody who reaches the port can hold up the worker or its probes. A request has 5 s and 16 KiB, its answer 15 s. There
are {connections} connections at most; beyond that, the oldest one without a complete request is closed. However
often it is requested, a page is made once for all who wait for it, and then none, of either format, for up to 2 s.
Refused requests are logged as `requests_refused` with their `problem` (`too_many_connections`, `too_slow`, `too_long`,
`not_http`, `method`, `out_of_files` if the process may open no more, `not_accepted`) and their number since the last
such line (`requests`): one line in 10 s for each problem.

## How many workers

The jobs a second that limits allow, divided by the jobs a second that a pod can do:

```promql
sum(max by (shop) (referral_runnable_jobs_per_second)) / avg(referral_capacity_jobs_per_second)
```

Every pod holds a few jobs of every shop that has some, and reports for each shop what its pace would let run: the
pace itself if the pod's prefetch is full, since more then waits in the queue, otherwise no more than it holds; 0
for a closed shop, and for jobs that only wait for their customers. All pods report the same shops, so take the
maximum by shop, never the sum over pods. A million jobs of a shop at 25 a second need 25 jobs a second, as a hundred
do.

If arrivals are worked off at once, hardly anything waits; then the pace of calls is the demand. To scale by it, take
the larger of the two:

```promql
  sum(max by (shop) (max_over_time(referral_runnable_jobs_per_second[1m])))
> sum(rate(refer2_responses_total[5m]))
or sum(rate(refer2_responses_total[5m]))
```

`monitoring/rules.yml` records it as `referral:demand_jobs_per_second:max`, and the capacity of a worker as
`referral:capacity_jobs_per_second:avg`.
"""


def text(generated: str) -> str:
    """The document."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.declare_shops({"a-shop": 1.0})
    samples = [sample for family in registry.collect() for sample in family.samples]
    of_a_shop = [sample for sample in samples if sample.labels.get("shop") == "a-shop"]
    rows = [
        f"| `{entry.name}` | {entry.kind} | {', '.join(f'`{label}`' for label in entry.labels)} | "
        f"{MERGED[entry.merge] if entry.kind == 'gauge' else ''} | {entry.help} |"
        for entry in metrics.entries
    ]
    return PAGE.format(
        generated=generated,
        rows="\n".join(rows),
        declared=sum(not sample.name.endswith("_created") for sample in of_a_shop),
        shops=SHOPS,
        extra=EXTRA_SERIES,
        unlisted=UNLISTED_CODES,
        connections=MOST_CONNECTIONS,
        other=OTHER_SHOPS,
    )
