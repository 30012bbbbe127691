"""TLS as every connection has it: verified, and of version 1.2 at least."""

import ssl
from pathlib import Path

import pytest

from tests.unit.rawserver import CERTIFICATE
from worker.errors import ConfigurationError
from worker.network import tls
from worker.rabbitmq.connection import parameters
from worker.refer2.transport import tls_context
from worker.store.redis.options import client_options


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    """A file with an authority."""
    path = tmp_path / "ca.pem"
    path.write_text(CERTIFICATE)
    return path


@pytest.mark.parametrize(
    ("configured", "floor"),
    [
        (ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_2),
        (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2),
        (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3),
    ],
)
def test_openssl_s_configuration_may_ask_for_more_only(configured: ssl.TLSVersion, floor: ssl.TLSVersion) -> None:
    """What the system's openssl.cnf or OPENSSL_CONF sets counts where it is the stricter."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = configured
    assert tls.raised(context).minimum_version == floor


def test_every_client_verifies_and_has_the_floor(ca_file: Path) -> None:
    """Of RabbitMQ with and without options of ours, and of the API with and without an authority of one's own."""
    contexts = [tls_context(None), tls_context(ca_file)]
    for url in ("amqps://rabbit.example.com", f"amqps://rabbit.example.com?cacertfile={ca_file}"):
        (node,) = parameters(url, name="tested").nodes
        contexts.append(node.ssl_options.context)
    for context in contexts:
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_the_store_s_client_is_told_the_floor(ca_file: Path) -> None:
    """Its own default would be the system's; a URL may ask for TLS 1.3."""
    assert client_options("rediss://redis.example.com/0")["ssl_min_version"] >= ssl.TLSVersion.TLSv1_2
    assert client_options(f"rediss://redis.example.com/0?ssl_ca_certs={ca_file}&ssl_min_version=772") == {}
    assert client_options("redis://redis/0") == {}


LOWERED = {
    "TLS 1.0": ("ssl_min_version=769", "ssl_min_version: must be 771"),
    "any version": ("ssl_min_version=-2", "ssl_min_version: must be 771"),
    "a version in words": ("ssl_min_version=TLSv1", "ssl_min_version: must be 771"),
    "a version twice": ("ssl_min_version=772&ssl_min_version=769", "ssl_min_version: is given twice"),
    "no verification": ("ssl_cert_reqs=none", "leave out the option 'ssl_cert_reqs'; certificate and host name are"),
    "no name": ("ssl_check_hostname=false", "leave out the option 'ssl_check_hostname'; certificate and host"),
    "no flags": ("ssl_exclude_verify_flags=VERIFY_X509_STRICT", "leave out the option 'ssl_exclude_verify_flags'"),
    "weak ciphers": ("ssl_ciphers=ALL:@SECLEVEL=0", "leave out the option 'ssl_ciphers'"),
    "a secret for an option": ("s3cr3t=1", "leave out the option a name of 6 characters"),
    "a secret for a file": ("ssl_ca_certs=s3cr3t", "ssl_ca_certs, ssl_ca_path: names no file: No such file"),
    "a key for a file": ("ssl_certfile=s3cr3t&ssl_keyfile=s3cr3t/s3cr3t", "ssl_certfile, ssl_keyfile: names no file"),
    "a key alone": ("ssl_keyfile=s3cr3t", "ssl_keyfile without ssl_certfile"),
}


@pytest.mark.parametrize(("query", "told"), LOWERED.values(), ids=LOWERED.keys())
def test_the_store_s_url_can_lower_nothing(query: str, told: str) -> None:
    """What would weaken TLS, or can't be used, is refused before anything connects, in a line without the value."""
    url = f"rediss://redis.example.com/0?{query}"
    with pytest.raises(ConfigurationError) as refused:
        client_options(url)
    assert str(refused.value).startswith(f"REFERRALS_REDIS_URL: {told}")
    assert "s3cr3t" not in str(refused.value)


def test_options_of_tls_are_for_urls_with_tls() -> None:
    """A CA beside a plain scheme is a mistake that would go unnoticed."""
    with pytest.raises(ConfigurationError, match=r"^REFERRALS_REDIS_URL: ssl_ca_certs is for rediss://"):
        client_options("redis://redis/0?ssl_ca_certs=ca.pem")
    with pytest.raises(ConfigurationError, match=r"^REFERRALS_AMQP_URL: cacertfile is for amqps://"):
        parameters("amqp://rabbitmq?cacertfile=ca.pem", name="tested")


BROKER_LOWERED = {
    "pika's own": ("ssl_options={'protocol':2}", "leave out the option 'ssl_options'; there are"),
    "no verification": ("verify=verify_none", "leave out the option 'verify'; there are"),
    "a secret for an option": ("s3cr3t=1", "leave out the option a name of 6 characters"),
    "a secret for a file": ("cacertfile=s3cr3t", "cacertfile: names no file: No such file"),
    "a key for a file": ("certfile=s3cr3t&keyfile=s3cr3t/s3cr3t", "certfile: names no file, keyfile: names no file: "),
    "a zero byte": ("cacertfile=s3cr3t%00", "cacertfile: names no file: can't be read"),
    "a value twice": ("heartbeat=1&heartbeat=s3cr3t", "heartbeat is given twice"),
    "a value that is none": ("heartbeat=s3cr3t", "it is not an AMQP URL; expected"),
}


@pytest.mark.parametrize(("query", "told"), BROKER_LOWERED.values(), ids=BROKER_LOWERED.keys())
def test_rabbitmq_s_url_can_lower_nothing(query: str, told: str) -> None:
    """The same for RabbitMQ's."""
    with pytest.raises(ConfigurationError) as refused:
        parameters(f"amqps://rabbit.example.com/x?{query}", name="tested")
    assert str(refused.value).startswith(f"REFERRALS_AMQP_URL: {told}")
    assert "s3cr3t" not in str(refused.value)
