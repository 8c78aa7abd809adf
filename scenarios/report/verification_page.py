"""The load-time report as one HTML page for an auditor: no scripts, nothing from outside, everything escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

from scenarios.report.verification import looked_at, shortened, trusted, values
from symbolic import domain_of
from symbolic.writing.text import expression_text, namer

if TYPE_CHECKING:
    from symbolic import Finding, JointReport, Report, Rule, RuleSet

STYLE: Final = """
:root { color-scheme: light dark; --line: #8886; --soft: #8881; --error: #c62828; --warning: #b26a00;
  --unknown: #7b3fa0; --good: #2e7d32; }
@media (prefers-color-scheme: dark) { :root { --error: #ff7b72; --warning: #e3b341; --unknown: #d2a8ff;
  --good: #7ee787; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem } h2 { font-size: 1.25rem; margin-top: 2.5rem } h3 { font-size: 1rem; margin-top: 1.5rem }
table { border-collapse: collapse; width: 100% } th, td { border-top: 1px solid var(--line); padding: .4rem .6rem;
  text-align: left; vertical-align: top } th { font-weight: 600; white-space: nowrap }
thead th { background: var(--soft) } code { font: .875em ui-monospace, monospace; overflow-wrap: anywhere }
.verdict { font-size: 1.125rem; font-weight: 600; padding: .6rem .8rem; border-left: .4rem solid;
  background: var(--soft) }
.error { color: var(--error) } .warning { color: var(--warning) } .unknown { color: var(--unknown) }
.good { color: var(--good) } .small { font-size: .875rem } .wide { overflow-x: auto } a { color: inherit }
@media print { body { max-width: none; margin: 0 } h2 { break-before: auto } tr { break-inside: avoid } }
"""

ANSWERS: Final = {"yes": "good", "no": "error", "unknown": "unknown"}
"""Answer -> class of its colour."""

IMPLIED: Final = ("shadowed", "redundant")
"""Sorts of findings that are about their first rule alone: the others stand there as the reason."""


def page(name: str, roles: Mapping[str, tuple[RuleSet[Any, Any], Report]], together: JointReport | None = None) -> str:
    """The whole page.

    Args:
        name: what was verified.
        roles: rules and report by role.
        together: what was found about the joint rules of the roles.
    """
    title = f"Load-time report of {name}"
    parts = [_role(role, rules, report) for role, (rules, report) in roles.items()]
    if together is not None:
        parts.append(_together(together))
    contents = " · ".join(f'<a href="#{_id(role)}">{escape(role)}</a>' for role in roles)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n<p>{contents}</p>\n"
        f"{''.join(parts)}{READING}</body>\n</html>\n"
    )


READING: Final = """<h2>How to read this</h2>
<p class="small">An <b>error</b> forbids to run the rules; a <b>warning</b> tells of something that does nothing, or
that is given up for a rule of higher rank; <b>unknown</b> could neither be shown nor refuted, and
<code>localist verify --strict</code> refuses it. Every state shown was replayed by the compiled rules or the reference
reading. Every answer that there is no such state is counted under "numbers": <i>enumerated</i> where every point was
tried, <i>sampled</i> where the solver says so and none of many points is one, <i>proved</i> where the solver alone says
so.</p>
"""


def _role(role: str, rules: RuleSet[Any, Any], report: Report) -> str:
    return "".join(
        [
            f'<h2 id="{_id(role)}">{escape(role)}</h2>\n',
            _verdict(report),
            _pairs(
                [
                    ("some action is safe in some state", _coloured(report.consistent.value)),
                    ("in every state some action is safe", _coloured(report.total.value)),
                    ("one of these is safe in every state", escape("; ".join(map(values, report.witnesses)) or "-")),
                    ("what others say may allow", escape(trusted(report))),
                    ("rules", str(report.num_rules)),
                    ("hash of the rules", f"<code>{escape(report.ruleset_sha256)}</code>"),
                    ("numbers", escape(looked_at(report))),
                ]
            ),
            _findings(report.findings),
            _rules(rules, report),
        ]
    )


def _verdict(report: Report | JointReport) -> str:
    warnings = len(report.findings) - len(report.errors) - len(report.unknowns)
    counts = f"errors {len(report.errors)}, unknown {len(report.unknowns)}, warnings {warnings}"
    if report.errors:
        return f'<p class="verdict error">These rules must not run: {counts}.</p>\n'
    if report.unknowns:
        return f'<p class="verdict unknown">Not everything could be shown: {counts}.</p>\n'
    return f'<p class="verdict good">These rules may run: {counts}.</p>\n'


def _together(report: JointReport) -> str:
    groups = [
        (
            f"{' and '.join(one.roles)}: a joint action exists, and is found in turn",
            f"{_coloured(one.exists.value)}, {_coloured(one.in_turn.value)}",
        )
        for one in report.groups
    ]
    return f"<h2>joint rules</h2>\n{_verdict(report)}{_pairs(groups)}{_findings(report.findings)}"


def _findings(findings: Sequence[Finding]) -> str:
    if not findings:
        return '<h3>Findings</h3>\n<p class="good">Nothing else found.</p>\n'
    order = ["error", "unknown", "warning"]
    ranked = sorted(findings, key=lambda one: order.index(one.level.value))
    shown, left_out = shortened(ranked)
    rows = [
        (
            f'<span class="{one.level.value}">{one.level.value}</span>',
            escape(one.sort.value),
            escape(one.text),
            escape(values(one.state)),
        )
        for one in shown
    ]
    rest = "".join(f'<p class="small">and {count:,} more of {escape(sort)}</p>\n' for sort, count in left_out.items())
    return f"<h3>Findings</h3>\n{_table(('level', 'sort', 'finding', 'state that shows it'), rows)}{rest}"


def _rules(rules: RuleSet[Any, Any], report: Report) -> str:
    about: dict[str, set[str]] = {}
    for finding in report.findings:
        own = finding.rules[:1] if finding.sort.value in IMPLIED else finding.rules
        for anchor in own:
            about.setdefault(anchor, set()).add(finding.sort.value)
    rows = [_rule(rule, sorted(about.get(rule.anchor, ()))) for rule in rules.rules]
    names = namer(domain_of(rules.state), domain_of(rules.action))
    for one in rules.permits:
        name = f"permit <code>{escape(one.name)}</code><br>{escape(one.title)}"
        where = f"Permitted when {expression_text(one.expression, names)}."
        rows.append(("", name, str(one.priority), escape(where), escape(one.source), ""))
    return "<h3>Rules</h3>\n" + _table(("", "rule", "priority", "sentence", "source", "findings"), rows)


def _rule(rule: Rule, sorts: Sequence[str]) -> tuple[str, ...]:
    notes = [f"unless {', '.join(rule.declared.unless)}"] if rule.declared.unless else []
    notes += [f"overrides {', '.join(rule.declared.overrides)}"] if rule.declared.overrides else []
    notes += ["critical"] if rule.is_critical else []
    name = f"{rule.kind} <code>{escape(rule.name)}</code><br>{escape(rule.title)}"
    name += f'<br><span class="small">{escape("; ".join(notes))}</span>' if notes else ""
    return rule.anchor, name, str(rule.priority), escape(rule.sentence), escape(rule.source), escape(", ".join(sorts))


def _pairs(rows: Iterable[tuple[str, str]]) -> str:
    body = "".join(f"<tr><th>{escape(name)}</th><td>{value}</td></tr>\n" for name, value in rows)
    return f'<div class="wide"><table>\n{body}</table></div>\n'


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n'


def _coloured(answer: str) -> str:
    return f'<b class="{ANSWERS[answer]}">{escape(answer)}</b>'


def _id(role: str) -> str:
    return "role-" + "".join(sign if sign.isalnum() else f"_{ord(sign)}" for sign in role)
