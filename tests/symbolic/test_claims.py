"""Claims: how they enter facts, and that none allows what silence forbids, against brute force."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symbolic import (
    UNKNOWN,
    Action,
    DomainError,
    Facts,
    Heard,
    RuleError,
    RuleSet,
    State,
    admit,
    claimed,
    domain_of,
    fields,
    fixed,
    held_for,
    historically,
    implies,
    once,
    parse,
    perceived,
    prev,
    since,
    to_text,
    verify,
    whole,
)
from symbolic.claiming.monotone import demand_monotone
from symbolic.expression import Owner, Read, reads
from symbolic.field import FieldSpec
from symbolic.proving.report import Level, Report, Sort
from symbolic.solving.smt import Solver
from tests.symbolic.strategies import truths


class Crossing(State):
    gap: int = whole(ge=0, le=3)
    intent: Literal["silent", "yield", "go"] = claimed(by="car", silent="silent", max_age_s=1.5)
    is_clear: bool = claimed(by="warden", is_signed=True)
    distance: int = claimed(whole(ge=0, le=2), by="car")


class Drive(Action):
    pace: Literal["stop", "go"]
    lights: bool


SOLVER = Solver()
READS = [Read(Owner.STATE, one) for one in domain_of(Crossing).fields]
READS += [Read(Owner.ACTION, one) for one in domain_of(Drive).fields]
conditions = truths(READS, 1).filter(lambda expr: bool(reads(expr)))
GO = Heard(sender="car-2", role="car", value="go", age_s=1.0, is_signed=False)


def told(report: Report) -> set[str]:
    return {one.rules[0] for one in report.findings if one.sort is Sort.CLAIM}


def spans(claims: list[FieldSpec]) -> list[tuple[int, ...]]:
    return list(itertools.product(*(range(one.low, one.high + 1) for one in claims)))


def enlarges(rules: RuleSet[Any, Any], place: int, roles: set[str]) -> bool:
    """Whether claims of some roles allow what a rule forbids in silence, by trying everything."""
    every = domain_of(Crossing).fields
    mine = [one for one in every if one.claim is not None and one.claim.by in roles]
    rest = [one for one in every if one not in mine]
    quiet = [
        range(one.low, one.high + 1) if one.claim.silent is None else [one.claim.silent]
        for one in mine
        if one.claim is not None
    ]

    def breaks(others: tuple[int, ...], claims: tuple[int, ...], action: Any) -> bool:
        codes = dict(zip([*rest, *mine], [*others, *claims], strict=True))
        return place in rules.compiled(tuple(codes[one] for one in every), rules.codes_of(action))

    return any(
        any(breaks(others, claims, action) for claims in itertools.product(*quiet))
        and not all(breaks(others, claims, action) for claims in spans(mine))
        for others in spans(rest)
        for action in rules.actions
    )


@settings(max_examples=40)
@given(st.lists(conditions, min_size=1, max_size=3), st.sets(st.sampled_from(["car", "warden"])))
def test_rules_that_a_message_can_switch_off_are_those_that_brute_force_finds(
    exprs: list[Any], trusted: set[str]
) -> None:
    rules = RuleSet(Crossing, Drive)
    for place, expr in enumerate(exprs):
        rules.add(kind="forbid", name=f"rule_{place}", expression=expr, trusts=sorted(trusted))
    report = verify(rules, solver=SOLVER)
    roles = {"car", "warden"} - trusted
    assert told(report) == {rule.anchor for place, rule in enumerate(rules.rules) if enlarges(rules, place, roles)}
    assert not report.unknowns


def one_rule(**options: Any) -> RuleSet[Crossing, Drive]:
    rules, s, a = RuleSet(Crossing, Drive), fields(Crossing), fields(Drive)
    rules.add(kind="forbid", name="close", expression=(s.gap < 2) & ~s.is_clear & (a.pace == "go"), **options)
    return rules


def test_a_claim_that_allows_is_an_error_with_the_state_that_shows_it() -> None:
    (found,) = (one for one in verify(one_rule(), solver=SOLVER).findings if one.sort is Sort.CLAIM)
    assert (found.level, found.rules) == (Level.ERROR, ("R1",))
    assert found.text.startswith("a message allows pace go, lights ")
    shown = dict(found.state)
    assert (shown["is_clear"], shown["is_clear in silence"]) == ("true", "false")


def test_trust_silences_the_error_and_stands_in_the_report() -> None:
    report = verify(one_rule(trusts=["warden"]), solver=SOLVER)
    assert told(report) == set()
    assert [(one.role, one.rules, one.fields) for one in report.trusts] == [("warden", ("R1",), ("is_clear",))]
    assert verify(one_rule(), solver=SOLVER).trusts == ()


def test_trust_in_one_role_is_no_trust_in_another() -> None:
    assert told(verify(one_rule(trusts=["car"]), solver=SOLVER)) == {"R1"}


def test_a_permit_that_trusts_speaks_for_the_rules_that_yield_to_it() -> None:
    for trusts, expected in (((), {"R1"}), (("warden",), set())):
        rules, s, a = RuleSet(Crossing, Drive), fields(Crossing), fields(Drive)
        rules.add(kind="permit", name="waved", priority=90, expression=s.is_clear, trusts=trusts)
        rules.add(kind="forbid", name="close", expression=(s.gap < 2) & (a.pace == "go"), unless=["waved"])
        assert told(verify(rules, solver=SOLVER)) == expected


def test_a_claim_that_only_forbids_is_fine() -> None:
    rules, s, a = RuleSet(Crossing, Drive), fields(Crossing), fields(Drive)
    rules.add(kind="require", name="heed", expression=implies(s.intent == "go", a.pace == "stop"))
    assert told(verify(rules, solver=SOLVER)) == set()


def test_what_is_remembered_of_claims_is_told_too() -> None:
    s, a = fields(Crossing), fields(Drive)
    for body, expected in (
        (once(s.intent == "go", within_s=2) & (a.pace == "go"), set()),
        (~once(s.intent == "yield", within_s=2) & (a.pace == "go"), {"R1"}),
        (historically(s.is_clear, within_s=2) & (a.pace == "go"), {"R1"}),
        (held_for(s.intent != "silent", 1) & (a.pace == "go"), set()),
        (~held_for(prev(s.intent != "go"), 1) & (a.pace == "go"), {"R1"}),  # before the first moment nobody knows
        (since(s.gap < 2, s.intent == "go") & (a.pace == "go"), set()),
        (since(s.intent == "silent", s.gap < 2) & (a.pace == "go"), {"R1"}),
    ):
        rules = RuleSet(Crossing, Drive)
        rules.add(kind="forbid", name="past", expression=body)
        assert told(verify(rules, solver=SOLVER)) == expected, body


def test_what_is_remembered_of_two_roles_is_not_trusted_because_one_of_them_is() -> None:
    class Both(State):
        is_mine: bool = claimed(by="friend", silent=False)
        is_off: bool = claimed(by="stranger", silent=False)

    said, drive = fields(Both), fields(Drive)
    rules = RuleSet(Both, Drive)
    stop = once(said.is_mine & ~said.is_off) & (drive.pace == "go")  # a stranger's `is_off` lets a friend's word pass
    rules.add(kind="forbid", name="stop", expression=stop, trusts=["friend"])
    with pytest.raises(RuleError, match="a message allows pace go"):
        demand_monotone(rules)


def test_a_field_named_like_a_claim_in_silence_is_refused() -> None:
    class Mixed(State):
        go: bool = claimed(by="car", silent=True)
        go_in_silence: bool

    seen = fields(Mixed)
    rules = RuleSet(Mixed, Drive)
    rules.add(kind="forbid", name="go", expression=seen.go & ~seen.go_in_silence)
    with pytest.raises(RuleError, match="got `go_in_silence`; rename it"):
        demand_monotone(rules)


@pytest.mark.parametrize("value", [10**400, 10**308, 1e308])
def test_a_number_without_measure_in_a_message_is_refused(value: float) -> None:
    class Told(State):
        gap: float = claimed(fixed(ge=0, le=1, step=0.5), by="car")

    heard = Heard(sender="car-2", role="car", value=value, age_s=0.0, is_signed=False)
    assert [one.field for one in admit(perceived(Told), {"gap": heard}).refused] == ["gap"]
    with pytest.raises(DomainError):
        Facts.from_json(f'{{"age_s":0.0,"fields":{{"gap":[0,{10**400}]}},"schema":"Told","version":1}}', Told)


def test_trust_in_a_role_that_claims_nothing_is_refused() -> None:
    with pytest.raises(
        RuleError, match=r"expected to trust roles that claim something here \(`car`, `warden`\), got `ca`"
    ):
        one_rule(trusts=["ca"])
    with pytest.raises(RuleError, match="expected a list of roles, got `car`"):
        one_rule(trusts="car")


# Admission


def quiet() -> Facts:
    return perceived(Crossing, gap=2)


def test_silence_is_the_declared_value_or_unknown() -> None:
    assert dict(quiet().items()) == {"gap": 2, "intent": "silent", "is_clear": UNKNOWN, "distance": UNKNOWN}


def test_a_claim_is_no_perception() -> None:
    with pytest.raises(DomainError, match="expected perceived fields alone, got the claim `intent`"):
        perceived(Crossing, gap=2, intent="go")
    with pytest.raises(DomainError, match="expected a claim of `Crossing`, got the perceived field `gap`"):
        admit(quiet(), {"gap": GO})


def test_what_is_heard_holds_until_it_is_not_heard_again() -> None:
    first = admit(quiet(), {"intent": GO})
    assert (first.taken, first.refused, first.facts.value("intent")) == (("intent",), (), "go")
    assert admit(first.facts, {}).facts == quiet()


@pytest.mark.parametrize(
    ("field", "heard", "reason"),
    [
        ("intent", replace(GO, role="warden"), "expected `intent` from a `car`, got it from a `warden`"),
        ("intent", replace(GO, age_s=2.0), "expected an age of at most 1.5 s, got 2.0 s"),
        ("intent", replace(GO, age_s=-1.0), "expected an age of 0 s or more, got `-1.0`"),
        ("intent", replace(GO, age_s=float("nan")), "expected an age of 0 s or more, got `nan`"),
        ("intent", replace(GO, value="fly"), "expected one of `silent`, `yield`, `go` for `intent`, got `'fly'`"),
        ("distance", replace(GO, value=3), "expected `distance` between 0 and 2, got `3`"),
        ("is_clear", replace(GO, role="warden", value=True), "expected a valid signature, got none"),
    ],
)
def test_a_message_that_does_not_count_leaves_silence_and_a_reason(field: str, heard: Heard, reason: str) -> None:
    found = admit(quiet(), {field: heard})
    assert (found.facts, found.taken) == (quiet(), ())
    assert [(one.field, one.sender) for one in found.refused] == [(field, "car-2")]
    assert found.refused[0].reason.startswith(reason)


def test_a_signed_claim_of_its_role_counts() -> None:
    heard = replace(GO, role="warden", value=True, is_signed=True)
    assert admit(quiet(), {"is_clear": heard}).facts.value("is_clear") is True


# What a declaration says, everywhere


def test_text_and_json_keep_claims_and_trust() -> None:
    rules = one_rule(trusts=["warden"])
    text = to_text(rules)
    assert "intent: silent | yield | go, claimed by car, else silent, within 1.5 s\n" in text
    assert "is_clear: flag, claimed by warden, signed\n" in text
    assert "forbid close trusts warden\n" in text
    again = parse(text)
    assert (again.sha256, to_text(again)) == (rules.sha256, text)
    assert RuleSet.from_json(rules.to_json(), Crossing, Drive).sha256 == rules.sha256


def test_an_age_in_whole_seconds_has_the_same_hash_after_text() -> None:
    class Told(State):
        go: bool = claimed(by="car", silent=False, max_age_s=2)

    rules = RuleSet(Told, Drive)
    rules.add(kind="forbid", name="go", expression=fields(Told).go)
    assert parse(to_text(rules)).sha256 == rules.sha256


def test_whether_a_field_is_a_claim_is_part_of_the_hash() -> None:
    class Seen(State):
        go: bool

    class Told(State):
        go: bool = claimed(by="car", silent=False)

    Told.__name__ = "Seen"
    Told.__domain__ = replace(domain_of(Told), name="Seen")
    hashes = set()
    for schema in (Seen, Told):
        rules = RuleSet(schema, Drive)
        rules.add(kind="forbid", name="go", expression=fields(schema).go)
        hashes.add(rules.sha256)
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: claimed(by=""), "expected the role that claims `Bad.field`, of letters, digits and `_`, got `''`"),
        (lambda: claimed(by="road works"), "expected the role that claims `Bad.field`, of letters, digits and `_`"),
        (lambda: claimed(by="car", max_age_s=10**400), "expected an age in seconds, 0 or more, for `Bad.field`"),
        (lambda: claimed(by="car", silent=1), "expected true or false for `field`, got `1`"),
        (lambda: claimed(by="car", max_age_s=-1.0), "expected an age in seconds, 0 or more, for `Bad.field`"),
        (lambda: claimed(by="car", max_age_s=float("inf")), "expected an age in seconds, 0 or more, for `Bad.field`"),
    ],
)
def test_a_wrong_claim_is_refused_when_it_is_declared(declare: Any, message: str) -> None:
    with pytest.raises(DomainError, match=message):
        type("Bad", (State,), {"__annotations__": {"field": bool}, "field": declare(), "__module__": __name__})


# Whole histories

moments = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["silent", "yield", "go", None]),
        st.sampled_from([True, False, None]),
        st.sampled_from([0.5, 1.0, 2.0]),
    ),
    min_size=1,
    max_size=5,
)


@st.composite
def remembering(draw: st.DrawFn) -> RuleSet[Crossing, Drive]:
    """Rules that remember what was said or seen."""
    s, a = fields(Crossing), fields(Drive)
    leaves = [s.intent == "go", s.intent != "yield", s.is_clear, s.gap < 2, s.intent == "silent"]

    def leaf() -> Any:
        return leaves[draw(st.integers(0, len(leaves) - 1))]

    rules = RuleSet(Crossing, Drive)
    for place in range(draw(st.integers(1, 2))):
        time = draw(st.sampled_from([0.5, 1.0, 2.0]))
        match draw(st.sampled_from(["prev", "once", "historically", "held_for", "since"])):
            case "prev":
                past = prev(leaf())
            case "held_for":
                past = held_for(leaf(), time)
            case "since":
                past = since(leaf(), leaf(), within_s=time)
            case name:
                past = (once if name == "once" else historically)(leaf(), within_s=time)
        said = past if draw(st.booleans()) else ~past
        pace = draw(st.sampled_from(["go", "stop"]))
        rules.add(kind="forbid", name=f"rule_{place}", expression=said & (a.pace == pace))
    return rules


@settings(max_examples=60)
@given(remembering(), moments, st.booleans())
def test_where_no_rule_is_found_no_history_of_messages_allows_more_than_silence(
    rules: RuleSet[Crossing, Drive], history: list[tuple[int, str | None, bool | None, float]], begins_empty: bool
) -> None:
    if told(verify(rules, solver=SOLVER)):
        return
    heard, silent = (rules.monitor(max_gap_s=1.5, begins_empty=begins_empty) for _ in range(2))
    time = 0.0
    for gap, intent, is_clear, wait in history:
        time += wait
        seen = perceived(Crossing, gap=gap)
        said: dict[str, Heard] = {}
        if intent is not None:
            said["intent"] = replace(GO, value=intent)
        if is_clear is not None:
            said["is_clear"] = replace(GO, role="warden", value=is_clear, is_signed=True)
        loud, quiet_ = heard.step(admit(seen, said).facts, time), silent.step(seen, time)
        for action in rules.actions:
            assert not rules.check(loud, action).is_safe or rules.check(quiet_, action).is_safe


def test_a_set_that_a_message_loosens_is_refused_before_it_runs() -> None:
    with pytest.raises(RuleError, match=r"a message allows pace go, lights .* such as where .*is_clear true"):
        demand_monotone(one_rule())
    assert demand_monotone(one_rule(trusts=["warden"])) == ()
