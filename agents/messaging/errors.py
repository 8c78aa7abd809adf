"""What can go wrong between agents; one type for each different reaction.

MessagingError
  EnvelopeError             bytes or values that are no valid envelope: refuse the message, count it
  ClaimError                a claim that names no declared field or a value outside it: ignore the claim, record a fault
  SignatureError            bytes that nobody trusted has signed: refuse them, record a fault
  ProposalError             rules proposed again, too late, for another run or version: refuse them, record a fault
  KeyFileError              a key or trust file that is none, or that others can read: tell the user
  BusError                  the bus cannot do what was asked
    BusClosedError          used before start or after stop: a bug of the caller
    BusTimeoutError         not everything expected came in time: decide without the rest, record a fault
    BusDownError            the link to the broker is gone: decide without messages, record a fault
  BrokerError
    BrokerAddressError      the address is none: tell the user
    BrokerUnreachableError  nobody answers at the address: tell the user
    BrokerFailedError       the embedded broker did not start: tell the user
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agents.messaging.mailbox import Delivery


class MessagingError(RuntimeError):
    """Base of all errors of messaging."""


class EnvelopeError(MessagingError, ValueError):
    """Bytes or values that are no valid envelope."""


class ClaimError(MessagingError, ValueError):
    """A claim with an undeclared field, or a value outside what is declared."""


class SignatureError(MessagingError, ValueError):
    """Bytes that nobody trusted has signed."""


class ProposalError(MessagingError, ValueError):
    """A proposal of rules that is none, was seen before, or does not fit."""


class KeyFileError(MessagingError, ValueError):
    """A key or trust file that is none, or that others than its owner can read."""


class BusError(MessagingError):
    """The bus cannot do what was asked."""


class BusClosedError(BusError):
    """The bus was used before its start or after its stop."""


class BusTimeoutError(BusError):
    """Not every expected envelope arrived before the deadline."""

    def __init__(self, message: str, delivery: Delivery | None = None) -> None:
        super().__init__(message)
        self.delivery = delivery
        """What had arrived, where a barrier was waiting; the tick is closed."""


class BusDownError(BusError):
    """The link to the broker is gone and will not come back by itself."""

    def __init__(self, message: str, delivery: Delivery | None = None) -> None:
        super().__init__(message)
        self.delivery = delivery
        """What had arrived, where a barrier was waiting; the tick is closed."""


class BrokerError(MessagingError):
    """A broker cannot be had."""


class BrokerAddressError(BrokerError, ValueError):
    """The address is not of the form `mqtt://[user:password@]host[:port]`."""


class BrokerUnreachableError(BrokerError):
    """Nobody answers as an MQTT broker at the address."""


class BrokerFailedError(BrokerError):
    """The embedded broker did not start."""
