"""Where a neural proposal meets a symbolic verdict. Read `decide.py` first."""

from agents.deciding.agent import Agent
from agents.deciding.decide import Ask, KnockOut, Ladder, Situation, decide
from agents.deciding.decision import Attempt, Decision, record_of
from agents.deciding.lexicon import Lexicon, LexiconError, lexicon
from agents.deciding.prompting import Detail, Grounding, Injection, Message, Resting, Style, render

__all__ = [
    "Agent",
    "Ask",
    "Attempt",
    "Decision",
    "Detail",
    "Grounding",
    "Injection",
    "KnockOut",
    "Ladder",
    "Lexicon",
    "LexiconError",
    "Message",
    "Resting",
    "Situation",
    "Style",
    "decide",
    "lexicon",
    "record_of",
    "render",
]
