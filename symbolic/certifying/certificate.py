"""Certificates: what was decided, as text that `checker.py` can check knowing nothing but the rules as JSON.

Canonical JSON, version 1, one kind each:

    verdict     facts, action, outcome, the anchors of the rules violated and undecided
    repair      facts, the wanted action, the nearest safe action, and their distance: in steps, or under the costs
                that stand beside it as `metric` (`Metric.record`), then as text where it is no whole number
    totality    witnesses: actions of which in every state of the domain one is safe

Every certificate names the rule set by its hash, and the certificate before it (`prev`: its SHA-256, or empty), so that
certificates can be chained. Its own name is the SHA-256 of its text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from symbolic.domain import Action
from symbolic.facts import Facts
from symbolic.mending.metric import Metric
from symbolic.verdict import Verdict

if TYPE_CHECKING:
    from symbolic.rules import RuleSet


class CertificateError(ValueError):
    """Something that no certificate can be made of."""


def verdict_certificate(ruleset: RuleSet[Any, Any], facts: Facts, verdict: Verdict, *, prev: str = "") -> str:
    """The certificate of a verdict on these facts.

    Raises:
        CertificateError: a verdict on no action, on other facts or of another rule set.
    """
    text = facts.to_json()
    is_ours = verdict.ruleset_sha256 == ruleset.sha256 and verdict.facts_sha256 == sha256(text.encode()).hexdigest()
    if verdict.action is None or not is_ours:
        raise CertificateError("expected a verdict of these rules on these facts, got another; check them first")
    return written(verdict, _text(ruleset, verdict.action), text, prev)


def written(verdict: Verdict, action: str, facts: str, prev: str = "") -> str:
    """The certificate of a verdict from the canonical JSON of its own action and facts; see `verdict_certificate`."""
    # Written by hand, keys in order: this is on the path of every decision.
    broken = ",".join([f'"{violation.rule}"' for violation in verdict.violations])
    open_rules = ",".join([f'"{anchor}"' for anchor in verdict.undecided])
    return (
        f'{{"action":{action},"facts":{facts},"kind":"verdict",'
        f'"outcome":"{verdict.outcome.value}","prev":"{prev}","rules":"{verdict.ruleset_sha256}",'
        f'"undecided":[{open_rules}],"version":1,"violated":[{broken}]}}'
    )


def repair_certificate(
    ruleset: RuleSet[Any, Any], facts: Facts, wanted: Action, metric: Metric | None = None, *, prev: str = ""
) -> str | None:
    """The certificate that an action is the nearest safe one to a wanted one; None where no action is safe."""
    nearest = ruleset.nearest(facts, wanted, metric)
    if nearest is None:
        return None
    away = (metric or Metric.steps(ruleset.action)).distance(wanted, nearest)
    return _canonical(
        {
            "action": nearest.model_dump(),
            "distance": away.numerator if away.denominator == 1 else str(away),
            "facts": json.loads(facts.to_json()),
            "kind": "repair",
            "prev": prev,
            "rules": ruleset.sha256,
            "version": 1,
            "wanted": wanted.model_dump(),
            **({"metric": metric.record()} if metric else {}),
        }
    )


def totality_certificate(ruleset: RuleSet[Any, Any], witnesses: Sequence[Action], *, prev: str = "") -> str:
    """The certificate that in every state one of the witnesses is safe; making it proves nothing, checking it does."""
    return _canonical(
        {
            "kind": "totality",
            "prev": prev,
            "rules": ruleset.sha256,
            "version": 1,
            "witnesses": [witness.model_dump() for witness in witnesses],
        }
    )


def _text(ruleset: RuleSet[Any, Any], action: Action) -> str:
    return ruleset.texts.get(id(action)) or _canonical(action.model_dump())


def _canonical(plain: object) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))
