"""Messages between agents: typed claims in envelopes over a bus, in this process or over MQTT. Read `bus.py` first."""

from agents.messaging.broker import EmbeddedBroker
from agents.messaging.bus import DEADLINE_S, Bus, LocalBus
from agents.messaging.claims import Claim, ClaimField, ClaimValue, checked, heard_of
from agents.messaging.envelope import MAX_BYTES, MAX_NOTE_CHARS, Anchor, Envelope, compose, decode, encode, topic_of
from agents.messaging.errors import (
    BrokerAddressError,
    BrokerError,
    BrokerFailedError,
    BrokerUnreachableError,
    BusClosedError,
    BusDownError,
    BusError,
    BusTimeoutError,
    ClaimError,
    EnvelopeError,
    KeyFileError,
    MessagingError,
    ProposalError,
    SignatureError,
)
from agents.messaging.identity import Identity, Trust
from agents.messaging.mailbox import Delivery, Mailbox, Refusal, Refused
from agents.messaging.mqtt import MqttBus
from agents.messaging.proposal import Gate, Proposal, propose

__all__ = [
    "DEADLINE_S",
    "MAX_BYTES",
    "MAX_NOTE_CHARS",
    "Anchor",
    "BrokerAddressError",
    "BrokerError",
    "BrokerFailedError",
    "BrokerUnreachableError",
    "Bus",
    "BusClosedError",
    "BusDownError",
    "BusError",
    "BusTimeoutError",
    "Claim",
    "ClaimError",
    "ClaimField",
    "ClaimValue",
    "Delivery",
    "EmbeddedBroker",
    "Envelope",
    "EnvelopeError",
    "Gate",
    "Identity",
    "KeyFileError",
    "LocalBus",
    "Mailbox",
    "MessagingError",
    "MqttBus",
    "Proposal",
    "ProposalError",
    "Refusal",
    "Refused",
    "SignatureError",
    "Trust",
    "checked",
    "compose",
    "decode",
    "encode",
    "heard_of",
    "propose",
    "topic_of",
]
