"""What RabbitMQ says when it refuses, as errors that say what to do.

Reply codes are those of AMQP 0-9-1 (https://www.rabbitmq.com/amqp-0-9-1-reference#constants).
"""

from __future__ import annotations

from celeriac.errors import BrokerError, OperationalError


class ConnectionEnded(OperationalError):
    """The connection is gone; another may be had."""


class ChannelEnded(OperationalError):
    """The server closed one channel; the connection lives."""


class NoSuchThing(ChannelEnded):
    """A queue or an exchange does not exist."""


class Mismatch(ChannelEnded):
    """A queue or an exchange exists with other properties than those declared."""


class NotAllowed(BrokerError):
    """The server refuses the login, the virtual host or what was asked for, and will go on refusing it."""


class Unroutable(BrokerError):
    """A message was sent to where no queue takes it; nothing was kept of it."""


_ADVICE = {
    403: (
        "check the user and password of the URL, and that the user has permissions in this virtual host"
        " (rabbitmqctl list_permissions -p VHOST); the user guest may only come from the same machine"
    ),
    530: (
        "check the virtual host of the URL: rabbitmqctl list_vhosts shows those that exist, and rabbitmqctl"
        " set_permissions -p VHOST USER '.*' '.*' '.*' lets a user in"
    ),
}


def refused(code: int, text: str, otherwise: type[OperationalError]) -> BrokerError | OperationalError:
    """Return the error for a reply code and its text.

    Args:
        code: The AMQP reply code.
        text: What the server said.
        otherwise: The class where the code says nothing more exact.
    """
    if code in _ADVICE:
        return NotAllowed(f"RabbitMQ refused ({code}): {text}; {_ADVICE[code]}")
    if code == 404:
        return NoSuchThing(f"RabbitMQ does not have it ({code}): {text}")
    if code == 406:
        return Mismatch(f"RabbitMQ refused ({code}): {text}")
    return otherwise(f"RabbitMQ closed it ({code}): {text}")
