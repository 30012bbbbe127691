"""What a connection to RabbitMQ is made from."""

import pytest

from worker.errors import ConfigurationError
from worker.rabbitmq.connection import parameters


@pytest.mark.parametrize("option", ["client_properties=a=b", "tcp_options={", "client_properties=" + "[" * 5000])
def test_an_option_that_is_no_python_is_refused(option: str) -> None:
    """pika reads some options as Python; what is none ends in a line without the password, not in its traceback."""
    with pytest.raises(ConfigurationError, match=r"^REFERRALS_AMQP_URL: it is not an AMQP URL") as refused:
        parameters(f"amqp://user:pa55w0rd@127.0.0.1:5672/%2f?{option}", name="tested")
    assert "pa55w0rd" not in str(refused.value)
