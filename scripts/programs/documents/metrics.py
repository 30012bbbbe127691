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
on `REFERRALS_METRICS_HOST`: this machine alone, unless it says otherwise; in the image, all addresses. There is no
password: let a firewall or a NetworkPolicy say who reaches the port. What is there names shops and the outcomes of
their jobs; no campaign, no person and no secret.

Counters and histograms are summed over the processes, those that have ended included; of gauges, those of the
living become one value as the column *of processes* says.

| metric | type | labels | of processes | meaning |
|---|---|---|---|---|
{rows}

## How many series

{shops:,} shops make under 30,000 series a pod. A shop shows 23 from the start, at 0: every documented error code,
every outcome, its gauges; then the quota it has left, and the end of its token where that was made elsewhere. What
comes with use, such as another code or a reason to be closed, is bounded by {extra:,} series a process; the rest
is counted under the code `other` or the shop `{other}`. Of codes that nobody documents, which are each shop's own,
a process shows the first {unlisted} that it meets, then `other`.

`REFERRALS_METRICS_SHOPS` is how many shops have a label of their own: the fastest by the shops file. The rest is
one shop, `{other}`, which sums their counts, calls in flight, runnable jobs and closed shops; it has no rate, no
quota and no credential. A shop keeps its label until the process ends.

Worker processes count into files in a folder below `PROMETHEUS_MULTIPROC_DIR` (unless set, below `$TMPDIR`). Each
worker makes its own, `referral-metrics-…`, and removes those that killed ones left there; whatever else is there stays,
so that workers may share the place. A worker whose port somebody else has goes on, asks for it once a second, and
logs `metrics_port_taken` with the process that has it (`by`).

The files are mapped into memory. A disk that is full there ends a process by SIGBUS when a file grows, as it does with
new labels. So a process is refused at its start where 4 MiB are not free (exit code 2); give the folder a volume of its
own, on which nobody else writes, as `k8s/` and `compose.yaml` do.

## Probes

`/livez` is 200 while every process's consumer goes round (2 minutes ago at most) and no thread is busy with one
job for longer than any call can last. It asks neither RabbitMQ nor the store: jobs that wait, for whatever it is,
are no reason to restart. `/readyz` is 200 while RabbitMQ and the store are there and the shops file as it is now
can be used; its body names what is missing. Without RabbitMQ or the store no call starts. With a shops file that
can't be used calls go on by its last good version, as the body says: it is 503 all the same, since a process that
starts now would not come up, and a rollout with that file must not go on.

## Who asks badly

Whoever reaches the port can't hold up the worker or its probes. A request has 5 s and 16 KiB, its answer 15 s. There
are {connections} connections at most; where there are more, the oldest goes whose request is not complete. However
often it is asked for, a page is made once for all who wait for it, and then none, of either format, for up to 2 s.
What is refused is logged as `requests_refused` with its `problem` (`too_many_connections`, `too_slow`, `too_long`,
`not_http`, `method`, `out_of_files` where the process may open no more, `not_accepted`) and how many `requests` it
were since the last such line: one line in 10 s for each problem.

## How many workers

The jobs a second that limits would let run, by the jobs a second that a pod can do:

```promql
sum(max by (shop) (referral_runnable_jobs_per_second)) / avg(referral_capacity_jobs_per_second)
```

Every pod holds a few jobs of every shop that has some, and says for each what the shop's pace would let run: the
pace itself where its hands are full, so that more lies in the queue, else no more than it holds; 0 for a closed
shop, and for jobs that only wait for their customers. Pods say it of the same shops, so the most by shop counts,
never the sum over pods. A million jobs of a shop at 25 a second ask for 25 jobs a second, as a hundred do.

Where arrivals are worked off at once hardly anything waits; then the pace of calls is the demand. Who scales by it
takes the larger of the two:

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
    rows = [
        f"| `{entry.name}` | {entry.kind} | {', '.join(f'`{label}`' for label in entry.labels)} | "
        f"{MERGED[entry.merge] if entry.kind == 'gauge' else ''} | {entry.help} |"
        for entry in Metrics(CollectorRegistry()).entries
    ]
    return PAGE.format(
        generated=generated,
        rows="\n".join(rows),
        shops=SHOPS,
        extra=EXTRA_SERIES,
        unlisted=UNLISTED_CODES,
        connections=MOST_CONNECTIONS,
        other=OTHER_SHOPS,
    )
