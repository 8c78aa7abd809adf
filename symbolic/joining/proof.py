"""What is proved of joint rules before they run: that a joint action exists, and that deciding in turn finds one.

Two questions for each group of roles, over all states that its agents can be in:

- **exists**: is there always a joint action that keeps every rule?
- **in turn**: when the agents commit one after another, each keeping all rules with those before it, does each of them
  always find an action, whatever the others chose? This is the stronger one: it makes deciding without a search over
  joint actions sound.

Groups of any size follow in two ways. (1) Whoever is stuck is stuck because each of its n actions breaks a rule of its
own or one with some other agent; one such agent for each action is enough, and what they chose stays possible
without the others. So groups up to n + 1 answer for all (in the spirit of Helly's theorem), if no rule counts agents.
(2) It is enough that no agent can be blocked by one peer for each action, even by peers that could not be together.

The solver answers; points are tried (`sweep.py`), all where they are few. Unknown stays unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import Final, Literal, TypeAlias

from symbolic.domain import Action, Domain, State, domain_of
from symbolic.expression import Constant, Expr
from symbolic.joining.asking import Proof, violation_of
from symbolic.joining.binding import Joint
from symbolic.joining.blockade import blockade
from symbolic.joining.placing import Placed, Rules
from symbolic.joining.report import GroupAnswer, JointReport
from symbolic.joining.sweep import COMPLETE, SAMPLE, Sweep, sweep
from symbolic.joining.table import Table, table
from symbolic.proving.report import Answer, Finding, Level, Sort
from symbolic.reading.compiled import Codes, compile_rules
from symbolic.reading.residual import residual
from symbolic.rules import RuleSet
from symbolic.solving.question import Point
from symbolic.solving.session import Atom, Clause
from symbolic.solving.smt import Solver, default_solver

LARGEST: Final = 3
"""Size of the largest groups that are looked at."""

MOST_ROUNDS: Final = 256
"""Joint actions after which the search for one in every state is given up."""
Counterexample: TypeAlias = Codes | Literal[False] | None
"""A state of several agents; False where there is none, None where it is not known."""


def verify_joint(
    joint: Joint,
    roles: Mapping[str, Rules],
    *,
    largest: int = LARGEST,
    solver: Solver | None = None,
    complete: int = COMPLETE,
    sample: int = SAMPLE,
    watch: Callable[[str], None] = lambda step: None,
) -> JointReport:
    """Answer both questions for all groups up to a size.

    Args:
        joint: all joint rules.
        roles: the rule set of each role; roles that no joint rule is about are left out.
        largest: size of the largest groups, 2 or 3.
        solver: answers; that of the process if None.
        complete: most points at which every answer is tried.
        sample: points at which it is tried where there are more.
        watch: told what is being looked at.

    Raises:
        RuleError: a rule that is not as symmetric as it was declared, or beyond the budget.
        ValueError: another size, or no role that a joint rule is about.
    """
    bound = {name: rules for name, rules in roles.items() if joint.is_about(rules)}
    if not bound or largest not in (2, 3):
        raise ValueError(
            f"expected groups of 2 or 3 and a role that some joint rule is about, got `{largest}`, {len(bound)} roles"
        )
    proof = Proof(joints=joint.sets, solver=solver or default_solver(), complete=complete, sample=sample)
    groups: dict[tuple[str, ...], GroupAnswer] = {}
    for size in range(1, largest + 1):
        watch(f"groups of {size}")
        for names in product(bound, repeat=size):
            groups[names] = _group(proof, names, [bound[name] for name in names], groups)
    watch("groups of any size")
    any_size = _any_size(proof, list(bound.values()), list(groups.values()), largest)
    watch("silent peers")
    beside_silent = _beside_silent(proof, bound)
    return JointReport(
        groups=tuple(one for one in groups.values() if len(one.roles) > 1),
        any_size=any_size,
        beside_silent=beside_silent,
        symmetric=tuple(sorted(name for one in joint.sets for name in one.symmetric)),
        findings=tuple(dict.fromkeys(proof.findings)),
        num_queries=proof.num_queries,
    )


# One group


def _group(
    proof: Proof, names: tuple[str, ...], roles: Sequence[Rules], smaller: Mapping[tuple[str, ...], GroupAnswer]
) -> GroupAnswer:
    """Both answers for one group; where each agent finds an action in turn, a joint one exists."""
    asked = [one for decider in range(len(roles)) if (one := _asked(proof, roles, decider)) is not None]
    last = asked[-1]
    before = smaller.get(names[:-1])
    in_turn = _worst([_told(one.stuck) for one in asked] + ([] if before is None else [before.in_turn]))
    lacking: Counterexample = False if in_turn is Answer.YES else _lacking(proof, roles, last.seen)
    found = GroupAnswer(
        roles=names,
        exists=_told(lacking),
        in_turn=in_turn,
        num_points=sum(one.seen.num_points for one in asked),
        is_complete=all(one.seen.is_complete for one in asked),
    )
    if all(smaller[part].in_turn is Answer.YES for part in _parts(names) if part in smaller):  # else it is known why
        proof.findings += _found(found, asked, lacking)
    return found


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was found of one agent of a group."""

    group: Table
    rules: Rules
    seen: Sweep
    stuck: Counterexample


def _asked(proof: Proof, roles: Sequence[Rules], decider: int) -> _Asked | None:
    """Whether an agent can get stuck; None where those after it matter nothing, so that a smaller group has told."""
    group = table(proof.joints, roles, decider)
    if decider < len(roles) - 1 and not group.looks_ahead:
        return None
    rules = rules_of(group)
    seen = sweep(group, rules, complete=proof.complete, sample=proof.sample)
    return _Asked(group, rules, seen, _stuck(proof, group, rules, seen))


def _worst(answers: Sequence[Answer]) -> Answer:
    """What holds of all: no where one is no, else unknown where one is."""
    return next((one for one in (Answer.NO, Answer.UNKNOWN) if one in answers), Answer.YES)


def _parts(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The groups with one agent less."""
    return [names[:place] + names[place + 1 :] for place in range(len(names))]


def rules_of(group: Table) -> Rules:
    """What never holds and the rules of a table in which one agent decides, in the order of its steps, as a set."""
    rules: Rules = RuleSet(group.layout.state, group.deciding[0].action)
    for number, expr in enumerate(group.never):
        rules.add(kind="forbid", name=f"r{number:06}", expression=expr)
    for number, placed in enumerate((placed for step in group.steps for placed in step), len(group.never)):
        rules.add(kind=placed.rule.kind, name=f"r{number:06}", title=_title(placed), expression=placed.expression)
    return rules


def _title(placed: Placed) -> str:
    """The rule by name, and where it binds a pair whose it is and with whom."""
    first, *other = (f"agent_{agent + 1}" for agent in placed.agents)
    return f"{placed.rule.name} of {first} with {other[0]}" if other else placed.rule.name


def _told(found: Counterexample) -> Answer:
    """Whether all is well: there is no counterexample, there is one, or it is not known."""
    return Answer.UNKNOWN if found is None else Answer.YES if found is False else Answer.NO


def _stuck(proof: Proof, group: Table, rules: Rules, seen: Sweep) -> Counterexample:
    """A state in which those before have kept all rules and the last agent cannot; False where there is none."""
    if seen.stuck is not None:
        return seen.stuck
    kept = [(Atom(rule=rule, is_broken=False),) for rule in range(group.num_kept)]
    own = range(group.num_kept, len(rules.rules))
    blocked = [tuple(Atom(rule=rule, action=act) for rule in own) for act in group.acts]
    if not own:
        return False
    return _tried(proof, proof.find(rules, [*kept, *blocked]), seen)


def _tried(proof: Proof, answer: Point | Literal[False] | None, seen: Sweep) -> Counterexample:
    """The solver's answer, held against a sweep that saw nothing; where that saw everything, it answers alone."""
    if not isinstance(answer, Point):
        return False if seen.is_complete else answer
    if not seen.is_complete:
        return answer.state
    proof.fault(f"the solver's point {answer.state} was not seen by a complete sweep")
    return None


def _lacking(proof: Proof, roles: Sequence[Rules], seen: Sweep) -> Counterexample:
    """A joint state without a joint action; False where there is none.

    CEGIS: joint actions, one more for each state in which those found so far all break a rule.
    """
    if seen.lacking is not None:
        return seen.lacking
    group = table(proof.joints, roles, None)
    violations = [violation_of(placed) for step in group.steps for placed in step]
    broken = compile_rules(violations, domain_of(group.layout.state), _joined(roles))
    # An action that is broken everywhere is no witness; without any other, the sweep has seen a state already.
    hopeful = (act for act in group.acts if Constant(True) not in [residual(one, act) for one in violations])
    witnesses = list(islice(hopeful, 1))
    while 0 < len(witnesses) < MOST_ROUNDS:
        answer = _unkept(proof, group, violations, witnesses)
        if not isinstance(answer, Point):
            return _tried(proof, answer, seen)
        found = next((act for act in group.acts if not broken(answer.state, act)), None)
        if found is None:
            return _tried(proof, answer, seen)
        witnesses.append(found)
    return _tried(proof, None, seen)


def _unkept(
    proof: Proof, group: Table, violations: Sequence[Expr], acts: Sequence[Codes]
) -> Point | Literal[False] | None:
    """A state in which each of some joint actions breaks a rule."""
    rules: Rules = RuleSet(group.layout.state, Deciding)
    clauses: list[Clause] = []
    for number, expr in enumerate(group.never):
        rules.add(kind="forbid", name=f"r{number:06}", expression=expr)
        clauses.append((Atom(rule=number, is_broken=False),))
    for act in acts:
        left = [part for one in violations if (part := residual(one, act)) != Constant(False)]
        start = sum(map(len, clauses))
        for number, part in enumerate(left, start):
            rules.add(kind="forbid", name=f"r{number:06}", expression=part)
        clauses.append(tuple(Atom(rule=number) for number in range(start, start + len(left))))
    return proof.find(rules, clauses) if all(clauses) else False


class Deciding(Action):
    """Stands for the action where a question is about states alone."""

    is_done: bool


def _joined(roles: Sequence[Rules]) -> Domain:
    """The actions of all agents as one."""
    fields = [spec for role in roles for spec in domain_of(role.action).fields]
    return Domain("Acts", tuple(replace(spec, index=index) for index, spec in enumerate(fields)), {}, ())


def _found(answer: GroupAnswer, asked: Sequence[_Asked], lacking: Counterexample) -> Iterator[Finding]:
    """What is to be told of a group."""
    names = ", ".join(answer.roles)
    if answer.exists is Answer.UNKNOWN:
        text = f"not known whether {names} have a joint action that keeps every rule in every joint state"
        yield Finding(sort=Sort.NO_JOINT_ACTION, level=Level.UNKNOWN, rules=(), text=text)
    elif isinstance(lacking, tuple):
        shown, text = (
            _named(asked[-1].group.layout.state, lacking),
            f"{names} have no joint action here that keeps every rule",
        )
        yield Finding(sort=Sort.NO_JOINT_ACTION, level=Level.ERROR, rules=(), text=text, state=shown)
    if answer.in_turn is Answer.UNKNOWN:
        text = f"not known whether {names}, deciding in turn, always find an action that keeps every rule"
        yield Finding(sort=Sort.STUCK, level=Level.UNKNOWN, rules=(), text=text)
    stuck = next((one for one in asked if isinstance(one.stuck, tuple)), None)
    if stuck is not None and isinstance(stuck.stuck, tuple):
        place, why = len(stuck.group.steps), "; ".join(_blocked(stuck.group, stuck.rules, stuck.stuck))
        text = f"deciding in turn as {names}, agent_{place} finds no action that keeps every rule here: {why}"
        shown = _named(stuck.group.layout.state, stuck.stuck)
        yield Finding(sort=Sort.STUCK, level=Level.ERROR, rules=(), text=text, state=shown)


def _blocked(group: Table, rules: Rules, state: Codes) -> Iterator[str]:
    """Each action of the last agent with a rule that it breaks."""
    for action in group.deciding[0].actions:
        first = next(place for place in rules.compiled(state, rules.codes_of(action)) if place >= group.num_kept)
        done = "-".join(str(value) for value in action.model_dump().values())
        yield f"{done} breaks {rules.rules[first].title}"


def _named(state: type[State], codes: Codes) -> tuple[tuple[str, str], ...]:
    """Names of fields with the text of their values, as far as the codes go."""
    return tuple((one.name, one.show(code)) for one, code in zip(domain_of(state).fields, codes, strict=False))


# Groups of any size


def _any_size(proof: Proof, roles: Sequence[Rules], groups: Sequence[GroupAnswer], largest: int) -> Answer:
    """Whether nobody gets stuck in a group of any size; see the head of this file."""
    told = _worst([one.in_turn for one in groups])
    if told is not Answer.YES:
        return told
    has_quotas = any(joint.quotas for joint in proof.joints)
    if not has_quotas and all(len(role.actions) < largest for role in roles):
        return Answer.YES
    # Peers that block nothing are no contradiction: by the answers above each role has an action in every state.
    if all(blockade(proof, role, roles, is_compliant=True).found is False for role in roles):
        return Answer.YES
    text = f"shown for groups of up to {largest} only: in larger ones an agent may find no action that keeps every rule"
    proof.findings.append(Finding(sort=Sort.STUCK, level=Level.WARNING, rules=(), text=text))
    return Answer.UNKNOWN


def _beside_silent(proof: Proof, roles: Mapping[str, Rules]) -> Answer:
    """Whether agents have an action beside peers of which nothing is known."""
    answers = []
    for name, role in roles.items():
        asked = blockade(proof, role, list(roles.values()), is_compliant=False)
        answers.append(_told(asked.found))
        if asked.found is None:
            text = f"not known whether {name} always has an action that no peer can break"
            proof.findings.append(Finding(sort=Sort.STUCK, level=Level.UNKNOWN, rules=(), text=text))
        elif isinstance(asked.found, tuple) and not proof.errors:
            text = f"{name} has no action here that silent peers could not break, so it does its safe stop beside them"
            state = tuple(one for one in _named(asked.state, asked.found) if one[0].startswith("agent_1_"))
            proof.findings.append(Finding(sort=Sort.STUCK, level=Level.WARNING, rules=(), text=text, state=state))
    return _worst(answers)
