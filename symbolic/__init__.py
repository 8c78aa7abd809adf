"""Rules over what is perceived and done: declared once, read exactly, checked in microseconds, never guessed."""

from symbolic.claiming.admission import Admitted, Heard, Refusal, admit, perceived
from symbolic.claiming.claim import Claimed, claimed
from symbolic.declaration import Declaration, RuleError, RuleKind
from symbolic.domain import Action, State, actions_of, codes_of, domain_of, fixed, whole
from symbolic.explaining.conflict import Conflict
from symbolic.explaining.explain import explain
from symbolic.explaining.explanation import ActionFix, Change, Explanation, StateFix
from symbolic.explaining.wording import sentences as explanation_sentences
from symbolic.explaining.wording import text as explanation_text
from symbolic.expression import Expr, ExpressionError
from symbolic.facts import Facts
from symbolic.field import UNKNOWN, DomainError, FieldSpec, Interval, Kind, quantise, shortest, widen
from symbolic.guarding.calling import apart
from symbolic.guarding.counts import Counts
from symbolic.guarding.guard import Guard
from symbolic.guarding.guarded import Attempt, Fault, FaultKind, Feedback, Guarded
from symbolic.guarding.ladder import Ladder, Mode, Rung
from symbolic.guarding.rehearsal import Rehearsal, Situation, rehearse, situations
from symbolic.joining.binding import Bound, Commitment, Joint, in_order
from symbolic.joining.proof import verify_joint
from symbolic.joining.report import GroupAnswer, JointReport
from symbolic.joining.rules import JointRules, Quota
from symbolic.mending.concession import Concession, concede
from symbolic.mending.invariant import InvariantError, Keeper, Refuge, largest
from symbolic.mending.metric import Metric, MetricError
from symbolic.mending.repair import distance, nearest
from symbolic.mending.shield import Shield, ShieldError
from symbolic.mending.transition import ANY, Next, Transition, TransitionError, becomes
from symbolic.neighbours import many
from symbolic.proving.answers import Answers, AnswersError
from symbolic.proving.export import to_smtlib
from symbolic.proving.ranking import demand_ranked
from symbolic.proving.report import Answer, Finding, Level, Report, Sort, Trust
from symbolic.proving.verify import verify
from symbolic.quantifiers import all_of, any_of, count_of, known, value_of
from symbolic.reading.batch import Batch, BatchError, batch
from symbolic.reading.counterexample import Counterexample
from symbolic.reading.grounding import Line, ground, lines
from symbolic.reading.margin import Margin
from symbolic.reading.reference import MAYBE, NO, YES, Truth, numbers, truth, violated
from symbolic.reading.schema import NoActionError, grammar, json_schema
from symbolic.reading.sentence import phrase, sentence
from symbolic.reloading.apart import ApartJudge
from symbolic.reloading.diff import diff
from symbolic.reloading.difference import Difference, Relation
from symbolic.reloading.journal import StoreError
from symbolic.reloading.judging import Judgement, Rejection
from symbolic.reloading.loading import load_rules
from symbolic.reloading.store import ReloadError, RuleStore
from symbolic.remembering.memory import Memory
from symbolic.remembering.monitor import Monitor, MonitorError, migrated
from symbolic.remembering.terms import held_for, historically, once, prev, remaining_s, rising, since
from symbolic.rule import Rule
from symbolic.rules import RuleSet
from symbolic.terms import absolute, among, fields, implies, ite, maximum, minimum, negate
from symbolic.verdict import Outcome, Verdict, Violation
from symbolic.writing.formatter import formatted
from symbolic.writing.parsing import parse
from symbolic.writing.text import to_text

__all__ = [
    "ANY",
    "MAYBE",
    "NO",
    "UNKNOWN",
    "YES",
    "Action",
    "ActionFix",
    "Admitted",
    "Answer",
    "Answers",
    "AnswersError",
    "ApartJudge",
    "Attempt",
    "Batch",
    "BatchError",
    "Bound",
    "Change",
    "Claimed",
    "Commitment",
    "Concession",
    "Conflict",
    "Counterexample",
    "Counts",
    "Declaration",
    "Difference",
    "DomainError",
    "Explanation",
    "Expr",
    "ExpressionError",
    "Facts",
    "Fault",
    "FaultKind",
    "Feedback",
    "FieldSpec",
    "Finding",
    "GroupAnswer",
    "Guard",
    "Guarded",
    "Heard",
    "Interval",
    "InvariantError",
    "Joint",
    "JointReport",
    "JointRules",
    "Judgement",
    "Keeper",
    "Kind",
    "Ladder",
    "Level",
    "Line",
    "Margin",
    "Memory",
    "Metric",
    "MetricError",
    "Mode",
    "Monitor",
    "MonitorError",
    "Next",
    "NoActionError",
    "Outcome",
    "Quota",
    "Refuge",
    "Refusal",
    "Rehearsal",
    "Rejection",
    "Relation",
    "ReloadError",
    "Report",
    "Rule",
    "RuleError",
    "RuleKind",
    "RuleSet",
    "RuleStore",
    "Rung",
    "Shield",
    "ShieldError",
    "Situation",
    "Sort",
    "State",
    "StateFix",
    "StoreError",
    "Transition",
    "TransitionError",
    "Trust",
    "Truth",
    "Verdict",
    "Violation",
    "absolute",
    "actions_of",
    "admit",
    "all_of",
    "among",
    "any_of",
    "apart",
    "batch",
    "becomes",
    "claimed",
    "codes_of",
    "concede",
    "count_of",
    "demand_ranked",
    "diff",
    "distance",
    "domain_of",
    "explain",
    "explanation_sentences",
    "explanation_text",
    "fields",
    "fixed",
    "formatted",
    "grammar",
    "ground",
    "held_for",
    "historically",
    "implies",
    "in_order",
    "ite",
    "json_schema",
    "known",
    "largest",
    "lines",
    "load_rules",
    "many",
    "maximum",
    "migrated",
    "minimum",
    "nearest",
    "negate",
    "numbers",
    "once",
    "parse",
    "perceived",
    "phrase",
    "prev",
    "quantise",
    "rehearse",
    "remaining_s",
    "rising",
    "sentence",
    "shortest",
    "since",
    "situations",
    "to_smtlib",
    "to_text",
    "truth",
    "value_of",
    "verify",
    "verify_joint",
    "violated",
    "whole",
    "widen",
]
