"""The wiring: the one place that builds the parts and puts them together."""

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

import dramatiq
import structlog
from dramatiq.middleware import CurrentMessage, Middleware
from prometheus_client import CollectorRegistry

from worker.clock import Clock, SystemClock
from worker.dispatch.dispatcher import Dispatcher
from worker.embedded.broker import EmbeddedBroker
from worker.embedded.port import SYSTEM
from worker.embedded.state import RunState
from worker.errors import BrokerError, ConfigurationError, StoreError, raised_at
from worker.instants import SECOND
from worker.model.job import Job
from worker.model.message import ACTOR, QUEUE, decode_message
from worker.model.suppression import AddressKey
from worker.model.verdicts import Verdict
from worker.process.core import keep_to_one_core
from worker.process.parent import end_with_parent, is_orphan
from worker.process.signals import DrainSignals
from worker.process.work_queue import hand_over_simply
from worker.rabbitmq.broker import ReferralBroker
from worker.rabbitmq.connection import Parameters, connect, parameters
from worker.rabbitmq.declare import declare_topology, hold_single, refuse_mixture
from worker.rabbitmq.exclusion import check_alone, patiently
from worker.rabbitmq.message_reader import Decode
from worker.rabbitmq.policies import UnknownPoliciesError, losses
from worker.rabbitmq.publisher import Publisher
from worker.rabbitmq.topology import queues
from worker.refer2.client import Refer2Client
from worker.refer2.tokens import TokenMaker
from worker.scheduling.context import Context
from worker.scheduling.delivery import Delivery
from worker.settings import Settings
from worker.shops.config import ShopConfig
from worker.shops.file import read_shops
from worker.shops.registry import ShopRegistry
from worker.store.factory import build_store
from worker.store.protocol import Store
from worker.telemetry.health import MetricsServer, mark_dead
from worker.telemetry.metrics.exemplars import exemplars_of
from worker.telemetry.metrics.process import Metrics
from worker.telemetry.tracing import Tracing, worker_tracing

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class App:
    """A broker with its actor, ready for a Dramatiq worker, and the parts that it works with."""

    context: Context
    broker: dramatiq.Broker
    client: Refer2Client

    def close(self) -> None:
        """Close the connections to Refer2 and export the last spans; only once no call is under way."""
        self.client.close()
        if self.context.tracing is not None:
            self.context.tracing.close()


Refer = Callable[[ShopConfig, Job], Verdict]


def build_worker(
    settings: Settings,
    *,
    store: Store | None = None,
    around_call: Callable[[Refer], Refer] | None = None,
    publisher: type[Publisher] = Publisher,
    decode: Decode = decode_message,
) -> App:
    """A worker on RabbitMQ. Connects to nothing yet.

    ``store`` in place of the one that the settings ask for, ``around_call``, which wraps the call to Refer2, another
    kind of ``publisher`` and another ``decode`` for messages are for an entry of one's own, such as that of the fault
    suite.

    Raises:
      ConfigurationError: settings or shops file can't be used.
    """
    clock = SystemClock()
    for setting, exposed in settings.exposed_hosts():
        log.warning("plaintext_allowed", setting=setting, host=exposed)
    shops = ShopRegistry.load(settings.shops, plaintext_hosts=settings.plaintext_hosts)
    metrics = _metrics(settings)
    context = _context(settings, shops, store or build_store(settings, clock, metrics.store_answered), clock, metrics)
    context.tracing = worker_tracing(os.environ, clock, carries=settings.send_traceparent)
    client = build_client(settings, clock, metrics, context.tracing)
    context.status = client.status
    context.marks = _folder_of_marks()
    params = _parameters(settings)
    single = settings.redis_url is None
    # The system's, since a forked process would go on with its parent's numbers.
    context.shuffle = None if single else SystemRandom()
    broker = ReferralBroker(context, params, single=single, publisher=publisher, decode=decode)
    alone = params if single else None
    broker.add_middleware(
        _Lifecycle(
            context,
            client,
            MetricsServer(settings.metrics_host, settings.metrics_port, clock),
            alone,
            one_core=settings.one_core,
        )
    )
    _declare_actor(broker, context, client, around_call)
    return App(context, broker, client)


def _folder_of_marks() -> Path | None:
    try:
        return Path(tempfile.gettempdir()) / f"referral-dispatch-{os.geteuid()}"
    except FileNotFoundError:
        # The worker runs without crash marks: jobs are more urgent than finding the message that ends its reader.
        log.warning("reading_unmarked", problem="no temporary folder can be written to; name one by TMPDIR")
        return None


def build_embedded(
    settings: Settings,
    shops: ShopRegistry,
    store: Store,
    clock: Clock,
    state: RunState,
    threads: int,
    key: AddressKey | None = None,
) -> App:
    """A worker of a single process over a run's own source of jobs; by ``key`` are the store's addresses hashed."""
    metrics = _metrics(settings)
    context = _context(settings, shops, store, clock, metrics)
    context.threads = threads
    context.address_key = key
    context.tracing = worker_tracing(os.environ, clock, system=SYSTEM)
    if context.tracing is not None:
        context.tracing.start()
    client = build_client(settings, clock, metrics, context.tracing)
    context.status = client.status
    broker = EmbeddedBroker(context, state)
    _declare_actor(broker, context, client)
    return App(context, broker, client)


def preflight(settings: Settings, processes: int) -> None:
    """Find out whether a worker can run with these settings, and declare what it needs on RabbitMQ.

    Raises:
      ConfigurationError: it can't, and starting again changes nothing.
      BrokerError: RabbitMQ is out of reach.
      StoreError: the store is.
    """
    shops = tuple(read_shops(settings.shops, plaintext_hosts=settings.plaintext_hosts))
    if processes > 1 and settings.redis_url is None:
        raise ConfigurationError(
            f"{processes} processes can't share limits in memory: set REFERRALS_REDIS_URL, or use --processes 1"
        )
    store = build_store(settings, SystemClock())
    try:
        store.check()
    finally:
        store.close()
    params = _parameters(settings)
    connection = connect(params)
    try:
        if settings.redis_url is None:
            patiently(lambda: hold_single(connection))
        patiently(lambda: refuse_mixture(connection, shops, shared=settings.redis_url is not None))
        for difference in declare_topology(connection, queues(())):
            log.warning("queue_differs", difference=difference)
    finally:
        if connection.is_open:
            connection.close()
    _notice_policies(params, settings)


def _notice_policies(params: Parameters, settings: Settings) -> None:
    # A warning and no refusal: policies may be changed while workers run, and most losses end in referrals.dead.
    try:
        for loss in losses(params, settings.rabbitmq_management_url):
            log.warning("policy_loses_messages", problem=loss)
    except UnknownPoliciesError as error:
        # Nobody asked for this look at a broker on this machine, and most have no management API.
        tell = log.debug if settings.rabbitmq_management_url is None else log.warning
        tell("policies_unknown", problem=str(error))


def _parameters(settings: Settings) -> Parameters:
    return parameters(settings.amqp_url.get_secret_value(), name="referral-dispatch worker")


def _metrics(settings: Settings) -> Metrics:
    return Metrics(CollectorRegistry(), most_shops=settings.metrics_shops)


def _context(settings: Settings, shops: ShopRegistry, store: Store, clock: Clock, metrics: Metrics) -> Context:
    return Context(
        store=store,
        shops=shops,
        clock=clock,
        metrics=metrics,
        threads=1,
        prefetch=settings.prefetch,
        longest_call=int((settings.call_deadline_seconds + settings.connect_timeout_seconds) * SECOND),
        address_key=settings.address_key,
    )


def build_client(
    settings: Settings, clock: Clock, metrics: Metrics | None = None, tracing: Tracing | None = None
) -> Refer2Client:
    """The client of Refer2; ``metrics`` counts the tokens that it signs, ``tracing`` makes its calls' spans."""
    maker = TokenMaker(clock, signed=metrics.tokens_signed.inc) if metrics is not None else TokenMaker(clock)
    return Refer2Client(
        token_of=maker.token,
        clock=clock,
        connect_timeout_seconds=settings.connect_timeout_seconds,
        read_timeout_seconds=settings.read_timeout_seconds,
        call_deadline_seconds=settings.call_deadline_seconds,
        http_proxy=settings.http_proxy.get_secret_value() if settings.http_proxy else None,
        ca_file=settings.ca_file,
        tracing=tracing,
        send_traceparent=settings.send_traceparent,
    )


def _declare_actor(
    broker: dramatiq.Broker, context: Context, client: Refer2Client, around_call: Callable[[Refer], Refer] | None = None
) -> None:
    dispatcher = Dispatcher(
        shop_of=context.shops.get,
        refer=client.refer if around_call is None else around_call(client.refer),
        read_back=client.read_back,
        store=context.store,
        clock=context.clock,
        metrics=context.metrics,
        stopping=context.stopping.is_set,
    )

    @dramatiq.actor(broker=broker, actor_name=ACTOR, queue_name=QUEUE)
    def refer(job: Job) -> None:
        """Make one referral, on a worker thread. The disposition that it leaves decides what happens to the message."""
        delivery: object = CurrentMessage.get_current_message()
        assert isinstance(delivery, Delivery)
        assert delivery.grant is not None
        if context.tracing is not None:
            context.tracing.admitted(delivery)
        try:
            delivery.disposition = dispatcher.dispatch(
                job,
                delivery.request,
                delivery.grant,
                probing=delivery.probing,
                paused=delivery.paused,
                ends_if_refused=delivery.ends_if_refused,
                waits_alone=delivery.waits_alone,
            )
        except StoreError as error:
            log.warning("store_down", shop=job.shop, job_id=job.job_id, problem=str(error))
        except Exception as error:  # noqa: BLE001 - the job stays whole, whatever went wrong
            # The error's text, and a traceback with values, may hold personal data, so neither may reach a log.
            log.error(
                "actor_failed", shop=job.shop, job_id=job.job_id, error=type(error).__name__, where=raised_at(error)
            )


def _refuse_a_second(params: Parameters) -> None:
    # `referrals work` has found out already; with the dramatiq command each process comes here first. Dramatiq swallows
    # what a hook raises, but lets an exit through, and then stops the other processes with the same code.
    try:
        check_alone(params)
    except ConfigurationError as error:
        print(error, file=sys.stderr, flush=True)  # noqa: T201 - for the person who started it
        sys.exit(error.exit_code)
    except BrokerError:
        # The consumer logs it, and goes on trying.
        return


class _Lifecycle(Middleware):
    """Starts and ends the parts with Dramatiq's worker process. Its hooks run on the main thread."""

    def __init__(
        self,
        context: Context,
        client: Refer2Client,
        metrics_server: MetricsServer,
        alone: Parameters | None,
        *,
        one_core: bool,
    ) -> None:
        self._context = context
        self._client = client
        self._metrics_server = metrics_server
        self._alone = alone
        self._one_core = one_core

    def after_process_boot(self, broker: dramatiq.Broker) -> None:
        del broker
        if is_orphan():
            # Its parent was killed while this process was importing. Nothing has begun, so nothing is lost.
            os._exit(1)
        if self._alone is not None:
            _refuse_a_second(self._alone)
        if threading.current_thread() is threading.main_thread():
            DrainSignals(self._context.stopping, self._context.clock).install(signal.SIGTERM, signal.SIGHUP)
            end_with_parent(self._context.stopping)
            if self._one_core:
                keep_to_one_core()

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        del broker
        hand_over_simply(worker)
        self._context.threads = worker.worker_threads
        self._context.metrics.started.set(self._context.clock.now() / SECOND)
        self._metrics_server.start()
        # In the worker's own process: its parent has forked by now.
        if self._context.tracing is not None:
            self._context.tracing.start()
        self._context.metrics.exemplars = exemplars_of(self._context.tracing, self._context.clock)

    def after_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        if is_orphan():
            # Next Dramatiq would wait for its parent to notice that this process has started, and would wait for ever.
            worker.stop()
            broker.close()
            os._exit(1)

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        del broker, worker
        self._context.stopping.set()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        del broker, worker
        self._client.close()
        self._context.store.close()
        self._metrics_server.close()
        if self._context.tracing is not None:
            self._context.tracing.close()
        mark_dead()
