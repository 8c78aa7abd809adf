"""The process at the other end of `apart.py`: answers questions about rules, one line of JSON each.

python -m symbolic.solving.served        reads questions from its standard input until that ends

After a question without an answer it ends itself: what was stuck is gone with it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from symbolic.domain import Action, action_of
from symbolic.facts import Facts
from symbolic.mending.metric import Metric
from symbolic.reading.reference import Truth
from symbolic.reloading.loading import load_rules
from symbolic.rules import RuleSet
from symbolic.solving.session import Atom, Budget, Found
from symbolic.solving.smt import Solver

BEAT_S: Final = 0.1
"""Seconds between signs of life."""

KEPT: Final = 16
"""Rule sets, and solvers with budgets of their own, that are kept."""

MAX_MEMORY: Final = 4 << 30
"""Bytes of address space, beyond which the solver fails rather than the machine."""

Say = Callable[[str], None]


def serve(lines: Iterable[str], say: Say) -> None:
    """Answer questions in order; ends after the first that has no answer."""
    rulesets: dict[str, RuleSet[Any, Any]] = {}
    solvers: dict[Budget, Solver] = {}
    for line in lines:
        asked = json.loads(line)
        name = asked["rules"]
        if name not in rulesets and "text" not in asked:
            say('{"missing":true}')
            continue
        try:
            if name not in rulesets:
                _trim(rulesets)
                rulesets[name] = _loaded(asked["text"], name)
            rlimit, watchdog_s, recycle_after = asked["budget"]
            budget = Budget(rlimit=rlimit, watchdog_s=watchdog_s, recycle_after=recycle_after)
            if budget not in solvers:
                _trim(solvers)
                solvers[budget] = Solver(budget, apart=None)
            say(json.dumps({"answer": _answer(solvers[budget], rulesets[name], asked)}, separators=(",", ":")))
        except Exception as error:  # noqa: BLE001 - the decision: no answer, with its text
            say(json.dumps({"error": f"{type(error).__name__}: {error}"[:300]}))
            return


def _trim(kept: dict[Any, Any]) -> None:
    if len(kept) >= KEPT:
        kept.clear()


def _loaded(text: str, name: str) -> RuleSet[Any, Any]:
    rules = load_rules(text)
    if rules.sha256 != name:
        raise ValueError("expected the rules that were named, got others")
    return rules


def _answer(solver: Solver, rules: RuleSet[Any, Any], asked: dict[str, Any]) -> object:
    match asked["kind"]:
        case "decide":
            facts, action = _point(rules, asked)
            found = solver.decide(rules, facts, action, asked["only"], is_all_asked=asked["is_all_asked"])
            return [None if one is None else one.value for one in found]
        case "confirms":
            facts, action = _point(rules, asked)
            claims: list[Found] = [None if one is None else Truth(one) for one in asked["claims"]]
            return solver.confirms(rules, facts, action, claims)
        case "example":
            facts = Facts.from_json(asked["facts"], rules.state)
            return solver.example(rules, facts, tuple(asked["action"]), asked["rule"])
        case "nearest":
            states, metric = list(map(tuple, asked["states"])), Metric.from_json(asked["metric"], rules.action)
            return solver.nearest(rules, states, tuple(asked["wanted"]), metric)
        case "find":
            clauses = [tuple(_atom(one) for one in clause) for clause in asked["clauses"]]
            point = solver.find(rules, clauses, inside=asked["inside"])
            return [point.state, point.action] if point else point
        case kind:
            raise ValueError(f"expected a known question, got `{kind}`")


def _point(rules: RuleSet[Any, Any], asked: dict[str, Any]) -> tuple[Facts, Action]:
    return Facts.from_json(asked["facts"], rules.state), action_of(rules.action, tuple(asked["action"]))


def _atom(plain: list[Any]) -> Atom:
    rule, action, is_broken = plain
    return Atom(rule=rule, action=None if action is None else tuple(action), is_broken=is_broken)


def main() -> None:
    """Serve the standard streams."""
    _bound_memory()
    lock = threading.Lock()

    def say(line: str) -> None:
        with lock:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    def beat(ended: threading.Event) -> None:
        while not ended.wait(BEAT_S):
            try:
                say("")
            except OSError:
                os._exit(1)  # nobody listens: whatever the solver is stuck in would go on for ever

    ended = threading.Event()
    threading.Thread(target=beat, args=(ended,), daemon=True).start()
    serve(sys.stdin, say)


def _bound_memory() -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    except (ImportError, ValueError, OSError):
        return  # a system without such limits: the budget of steps stands alone


if __name__ == "__main__":
    main()
