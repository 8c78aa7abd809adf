from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.messaging import EnvelopeError, Mailbox, Refusal, Refused, encode, topic_of
from agents.messaging import mailbox as mailbox_file
from agents.recording import canonical
from tests.agents.builders import JSON_VALUES, RUN, an_envelope


def a_mailbox() -> Mailbox:
    """Two agents here, one elsewhere."""
    box = Mailbox(RUN, remotes=("far-1",))
    box.subscribe("car-1", None)
    box.subscribe("car-2", None)
    return box


def arrive(box: Mailbox, envelope, topic: str | None = None) -> None:
    box.admit(topic or envelope.topic, encode(envelope))


def refusals(box: Mailbox, tick: int = 0, expected: dict[str, int] | None = None) -> list[Refused]:
    return list(box.deliver(tick, expected or {}).refused)


def one(reason: Refusal, src: str) -> list[Refused]:
    return [Refused(reason=reason, src=src, count=1)]


def test_oversized_message_is_refused_before_it_is_parsed() -> None:
    box = a_mailbox()

    box.admit("anything", b"{" * 65_537)

    assert refusals(box) == one(Refusal.OVERSIZED, "unknown")


def test_malformed_message_is_refused() -> None:
    box = a_mailbox()

    box.admit("anything", b'{"v":1}')

    assert refusals(box) == one(Refusal.MALFORMED, "unknown")


def test_message_of_another_run_is_refused() -> None:
    box = a_mailbox()

    arrive(box, an_envelope("far-1", run="f" * 32))

    assert refusals(box, expected={"far-1": 1}) == one(Refusal.WRONG_RUN, "far-1")


def test_message_that_the_broker_moved_to_another_topic_is_refused() -> None:
    box = a_mailbox()

    arrive(box, an_envelope("far-1"), topic_of(RUN, "far-1", "note"))

    assert refusals(box, expected={"far-1": 1}) == one(Refusal.WRONG_TOPIC, "far-1")


def test_message_of_an_unknown_sender_is_refused() -> None:
    box = a_mailbox()

    arrive(box, an_envelope("stranger"))

    assert refusals(box, expected={"stranger": 1}) == one(Refusal.UNKNOWN_SENDER, "unknown")


def test_message_in_the_name_of_an_agent_of_ours_is_refused() -> None:
    box = a_mailbox()
    own = an_envelope("car-1")
    box.post(own, encode(own))

    arrive(box, an_envelope("car-1", valid_until=99.0))
    arrive(box, own)
    delivery = box.deliver(0, {"car-1": 1})

    assert delivery.inboxes["car-2"] == (own,)
    assert list(delivery.refused) == one(Refusal.FORGED, "car-1")


def test_repeated_message_is_refused_before_and_after_its_barrier() -> None:
    box = a_mailbox()
    arrive(box, an_envelope("far-1"))

    arrive(box, an_envelope("far-1"))
    delivery = box.deliver(0, {"far-1": 1})
    arrive(box, an_envelope("far-1"))

    assert len(delivery.inboxes["car-1"]) == 1
    assert list(delivery.refused) == one(Refusal.DUPLICATE, "far-1")
    assert refusals(box, tick=1) == one(Refusal.DUPLICATE, "far-1")


def test_old_number_under_a_new_tick_is_refused() -> None:
    box = a_mailbox()
    for tick in range(20):
        arrive(box, an_envelope("far-1", seq=tick, tick=tick))
        box.deliver(tick, {"far-1": 1})

    arrive(box, an_envelope("far-1", seq=3, tick=20))

    assert refusals(box, 20, {"far-1": 1}) == one(Refusal.DUPLICATE, "far-1")


def test_restarted_sender_counts_anew() -> None:
    box = a_mailbox()
    arrive(box, an_envelope("far-1", seq=5))
    box.deliver(0, {"far-1": 1})

    arrive(box, an_envelope("far-1", seq=0, tick=1, epoch=1))

    assert box.deliver(1, {"far-1": 1}).inboxes["car-1"][0].id == "far-1.1.0"


def test_late_message_is_refused() -> None:
    box = a_mailbox()
    box.deliver(0, {})

    arrive(box, an_envelope("far-1", tick=0))

    assert refusals(box, tick=1) == one(Refusal.LATE, "far-1")


def test_message_of_the_next_tick_waits_and_one_beyond_is_refused() -> None:
    box = a_mailbox()

    for tick in (1, 2):
        arrive(box, an_envelope("far-1", seq=tick, tick=tick))

    assert refusals(box, 0) == one(Refusal.EARLY, "far-1")
    assert [e.tick for e in box.deliver(1, {"far-1": 1}).inboxes["car-1"]] == [1]


def test_message_beyond_the_announced_number_is_refused() -> None:
    box = a_mailbox()
    for seq in range(3):
        arrive(box, an_envelope("far-1", seq=seq))

    delivery = box.deliver(0, {"far-1": 2})

    assert [envelope.seq for envelope in delivery.inboxes["car-1"]] == [0, 1]
    assert list(delivery.refused) == one(Refusal.UNEXPECTED, "far-1")


def test_flood_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox_file, "MAX_WAITING", 10)
    box = a_mailbox()

    for seq in range(15):
        arrive(box, an_envelope("far-1", seq=seq))

    delivery = box.deliver(0, {"far-1": 15})
    assert len(delivery.inboxes["car-1"]) == 10
    assert list(delivery.refused) == [Refused(reason=Refusal.OVERFLOW, src="far-1", count=5)]


def test_refusals_are_counted_once() -> None:
    box = a_mailbox()
    for _ in range(5):
        box.admit("anything", b"")

    assert refusals(box, 0) == [Refused(reason=Refusal.MALFORMED, src="unknown", count=5)]
    assert refusals(box, 1) == []


def test_own_message_of_another_run_cannot_be_posted() -> None:
    envelope = an_envelope("car-1", run="f" * 32)

    with pytest.raises(EnvelopeError):
        a_mailbox().post(envelope, encode(envelope))


@given(
    st.permutations([an_envelope("far-1", seq) for seq in range(5)] + [an_envelope("far-2", seq) for seq in range(3)])
)
def test_deliveries_do_not_depend_on_the_order_of_arrival(envelopes) -> None:
    box = Mailbox(RUN, remotes=("far-1", "far-2"))
    box.subscribe("car-1", None)
    for envelope in envelopes:
        arrive(box, envelope)

    delivery = box.deliver(0, {"far-1": 4, "far-2": 3})

    assert [e.id for e in delivery.inboxes["car-1"]] == [
        *(f"far-1.0.{seq}" for seq in range(4)),
        *(f"far-2.0.{seq}" for seq in range(3)),
    ]


@given(st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=200)), max_size=5))
def test_arbitrary_bytes_are_counted_and_never_raised(messages: list[tuple[str, bytes]]) -> None:
    box = a_mailbox()
    for topic, data in messages:
        box.admit(topic, data)

    assert sum(refused.count for refused in box.deliver(0, {}).refused) == len(messages)


@given(st.sampled_from(sorted(json.loads(encode(an_envelope("far-1"))))), JSON_VALUES)
def test_envelope_with_any_field_replaced_is_refused_or_itself(field: str, value: object) -> None:
    original = an_envelope("far-1")
    fields = json.loads(encode(original)) | {field: value}
    box = a_mailbox()

    box.admit(original.topic, canonical(fields))
    delivery = box.deliver(0, {"far-1": 1})

    (received,) = delivery.inboxes["car-1"] or (None,)
    assert received is None or json.loads(encode(received)) == fields
    assert (received is None) == bool(delivery.refused)
