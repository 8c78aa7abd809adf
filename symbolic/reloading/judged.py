"""The process at the other end of `apart.py`: one proposal on standard input, its judgement on standard output.

python -m symbolic.reloading.judged
"""

from __future__ import annotations

import json
import sys

from pydantic import TypeAdapter

from symbolic.reloading.judging import Judgement, judge
from symbolic.reloading.loading import load_rules


def answer(asked: str) -> bytes:
    """The judgement on what `ApartJudge` asks, as JSON."""
    plain = json.loads(asked)
    live = load_rules(plain["live"])
    stop = None if plain["safe_stop"] is None else live.action.model_validate_json(plain["safe_stop"])
    return TypeAdapter(Judgement).dump_json(judge(plain["text"], live, stop, plain["is_strict"]))


if __name__ == "__main__":
    sys.stdout.buffer.write(answer(sys.stdin.read()))
