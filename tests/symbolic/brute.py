"""What a load-time report must say, by trying every point; and random sets with planted defects."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any, Literal

from symbolic import Action, Answer, Facts, Report, RuleSet, Sort, State, codes_of, domain_of, fields, fixed, whole
from symbolic.domain import actions_of
from symbolic.expression import Join, Junction, Owner, Read
from symbolic.field import Kind
from symbolic.proving.effects import guard_of
from symbolic.reading.reference import YES, Walk
from tests.symbolic.drawn import condition


class Boiler(State):
    level: int = whole(ge=0, le=4)
    heat: float = fixed(ge=-1, le=1, step=0.5)
    mode: Literal["off", "slow", "fast"]
    alarm: bool


class Turn(Action):
    valve: int = whole(ge=-1, le=1)
    mode: Literal["slow", "fast"]


Rules = RuleSet[Boiler, Turn]
STATES = list(itertools.product(*(range(field.low, field.high + 1) for field in domain_of(Boiler).fields)))
ACTIONS = actions_of(Turn)
CODES = [codes_of(action) for action in ACTIONS]
READS = [
    *(Read(Owner.STATE, field) for field in domain_of(Boiler).fields),
    *(Read(Owner.ACTION, field) for field in domain_of(Turn).fields),
]
STOP = Turn(valve=0, mode="slow")
DEFECTS = (
    "inconsistent", "not-total", "tie", "conflict", "safe-stop", "vacuous", "never-binding", "dead", "shadowed",
    "redundant", "edge-only", "unused-field", "title",
)  # fmt: skip
"""Sorts of findings, each planted in turn."""

s: Any = fields(Boiler)
a: Any = fields(Turn)


def planted(seed: int) -> tuple[Rules, str]:
    """A random set of one to four rules, and the sort of the defect that was planted in it."""
    rng, defect = Random(seed), DEFECTS[seed % len(DEFECTS)]
    rules = RuleSet(Boiler, Turn)
    for place in range(rng.randint(1, 4)):
        parts = tuple(condition(rng, READS, 1) for _ in range(rng.choice([1, 3, 4])))
        is_wide = len(parts) == 1
        kind: Any = "require" if is_wide and rng.random() < 0.5 else "forbid"
        expression = parts[0] if is_wide else Join(Junction.AND, parts)
        rules.add(kind=kind, name=f"rule_{place}", priority=rng.randint(0, 99), expression=expression)
    _plant(rules, defect, rng)
    return rules, defect


def _plant(rules: Rules, defect: str, rng: Random) -> None:
    level, rank = rng.randint(1, 3), rng.randint(1, 98)
    here, up = s.level == level, a.valve > 0

    def forbid(name: str, expression: Any, priority: int = rank, **more: Any) -> None:
        rules.add(kind="forbid", name=name, expression=expression, priority=priority, **more)

    match defect:
        case "inconsistent":
            forbid("all", (a.valve >= -1) | s.alarm)
        case "not-total":
            forbid("none", here & (a.valve <= 1))
        case "tie" | "conflict":
            forbid("upwards", here & up)
            forbid("not_upwards", here & ~up, rank if defect == "tie" else rank + 1)
        case "safe-stop":
            forbid("stopping", here & (a.valve == 0), is_critical=True)
        case "vacuous":
            forbid("never", (s.level > level) & (s.level < level) & up)
        case "never-binding":
            forbid("idle", here & up & (a.valve < 0))
        case "dead":
            rules.add(kind="permit", name="free", priority=99, expression=s.level >= level - 1)
            forbid("beaten", here & up, unless=["free"])
        case "shadowed":
            forbid("wide", (s.level >= level) & up)
            forbid("narrow", here & up)
        case "redundant":
            forbid("low", (s.level <= level) & up)
            forbid("high", (s.level >= level) & up)
            forbid("both", (s.level >= level - 1) & (s.level <= level + 1) & up)
        case "edge-only":
            forbid("edge", (s.level >= 4) & up)
        case "title":
            forbid("told", here & up, title=f"Never upwards above {level + 10}.")
        case _:
            forbid("plain", here & up)


class Brute:
    """What holds of a set."""

    def __init__(self, rules: Rules) -> None:
        self.rules, self.every = rules, range(len(rules.rules))
        self.broken = {
            (state, action): frozenset(rules.compiled(state, action)) for state in STATES for action in CODES
        }
        self.kept = {
            state: [
                frozenset(place for place, one in enumerate(CODES) if rule not in self.broken[state, one])
                for rule in self.every
            ]
            for state in STATES
        }
        """For each state and rule the actions that keep it."""

    def stuck(self) -> tuple[int, ...] | None:
        """The first state without a safe action."""
        return next((state for state in STATES if all(self.broken[state, action] for action in CODES)), None)

    def clashes(self) -> set[tuple[int, int]]:
        """Pairs of which each can be kept in some state, and both cannot."""
        return {
            (one, other)
            for kept in self.kept.values()
            for one, other in itertools.combinations(self.every, 2)
            if kept[one] and kept[other] and not kept[one] & kept[other]
        }

    def implies(self, rule: int, others: frozenset[int]) -> bool:
        """Whether wherever a rule is broken one of some others is."""
        return all(found & others for found in self.broken.values() if rule in found)

    def sorts(self, rule: int) -> Iterator[str]:
        """What is to be told of one rule by itself."""
        points = [point for point, found in self.broken.items() if rule in found]
        others = frozenset(self.every) - {rule}
        if not points:
            yield self.idle(rule)
        elif self.implies(rule, others):
            is_one = any(self.implies(rule, frozenset({other})) for other in others)
            yield "shadowed" if is_one else "redundant"
        inner = [
            read.field for read in self.rules.rules[rule].reads
            if read.owner is Owner.STATE and read.field.kind is Kind.NUMBER and read.field.high - read.field.low > 1
        ]  # fmt: skip
        if points and inner and not any(all(f.low < state[f.index] < f.high for f in inner) for state, _ in points):
            yield "edge-only"
        if any((state, codes_of(STOP)) in points for state in STATES):
            yield "safe-stop"
        if any(str(place + 10) in self.rules.rules[rule].title for place in range(1, 4)):
            yield "title"

    def idle(self, rule: int) -> str:
        """Why nothing breaks a rule."""
        bare = self.rules.rules[rule].declared.violation
        walks = [Walk(Facts.from_codes(Boiler, state), action) for state in STATES for action in CODES]
        if any(walk.truth(bare) is YES for walk in walks):
            return "dead"
        guard = guard_of(bare)
        return "never-binding" if guard is None or any(walk.truth(guard) is YES for walk in walks) else "vacuous"


def differences(rules: Rules, report: Report) -> tuple[list[str], Counter[str]]:
    """Where a report says something else than trying everything; and how often each sort of finding is right."""
    brute, wrong = Brute(rules), []
    stuck = brute.stuck()
    is_consistent = any(not found for found in brute.broken.values())
    expected: Counter[tuple[str, tuple[str, ...]]] = Counter()
    anchor = [rule.anchor for rule in rules.rules]
    for rule in brute.every:
        expected.update((sort, (anchor[rule],)) for sort in brute.sorts(rule))
    for one, other in brute.clashes():
        is_tie = rules.rules[one].priority == rules.rules[other].priority
        expected["tie" if is_tie else "conflict", (anchor[one], anchor[other])] += 1
    read = {one.field.name for rule in rules.rules for one in rule.reads if one.owner is Owner.STATE}
    expected.update(("unused-field", (name,)) for name in domain_of(Boiler).by_name if name not in read)
    expected.update([("inconsistent", ())] if not is_consistent else [])
    expected.update([("not-total", ())] if stuck is not None else [])
    told = Counter((one.sort.value, _about(one.sort, one.rules, one.text)) for one in report.findings)
    if told != expected:
        wrong.append(f"told {told - expected}, missing {expected - told}")
    if (report.consistent is Answer.YES, report.total is Answer.YES) != (is_consistent, stuck is None):
        wrong.append(f"consistent {report.consistent}, total {report.total}")
    wrong += _unshown(brute, report, stuck)
    return wrong, Counter(sort for sort, _ in expected.elements())


def _about(sort: Sort, rules: tuple[str, ...], text: str) -> tuple[str, ...]:
    """What a finding is about: the rules that are reasons are left out."""
    match sort:
        case Sort.UNUSED_FIELD:
            return (text.split("`")[1],)
        case Sort.INCONSISTENT | Sort.NOT_TOTAL:
            return ()
        case Sort.TIE | Sort.CONFLICT:
            return rules
        case _:
            return rules[:1]


def _unshown(brute: Brute, report: Report, stuck: tuple[int, ...] | None) -> Iterator[str]:
    """What a report shows that does not show it: witnesses, states, reasons."""
    place = {rule.anchor: index for index, rule in enumerate(brute.rules.rules)}
    domain = domain_of(Boiler)
    for finding in report.findings:
        rules, state = [place[one] for one in finding.rules], _codes(finding.state)
        match finding.sort:
            case Sort.NOT_TOTAL if state != stuck:
                yield f"the first stuck state is {stuck}, not {state}"
            case Sort.TIE | Sort.CONFLICT if brute.kept[state][rules[0]] & brute.kept[state][rules[1]]:
                yield f"no clash of {rules} at {state}"
            case Sort.SAFE_STOP if rules[0] not in brute.broken[state, codes_of(STOP)]:
                yield f"the stop keeps {rules} at {state}"
            case Sort.SHADOWED | Sort.REDUNDANT:
                above = frozenset(rules[1:])
                fewer = [above - {one} for one in above]
                if not brute.implies(rules[0], above) or any(brute.implies(rules[0], some) for some in fewer):
                    yield f"{rules[0]} is not implied by just {sorted(above)}"
            case _:
                continue
    shown = {tuple((f.name, f.show(code[f.index])) for f in domain_of(Turn).fields): code for code in CODES}
    witnesses = [shown[one] for one in report.witnesses]
    if stuck is None and not all(any(not brute.broken[state, one] for one in witnesses) for state in STATES):
        yield f"{witnesses} do not cover {domain.name}"


def _codes(shown: tuple[tuple[str, str], ...]) -> tuple[int, ...]:
    texts = dict(shown)
    return tuple(
        next(code for code in range(field.low, field.high + 1) if field.show(code) == texts[field.name])
        for field in domain_of(Boiler).fields
        if field.name in texts
    )
