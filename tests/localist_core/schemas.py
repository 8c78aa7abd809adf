"""Schemas for the tests: actions as users write them, random pydantic models, and random texts of a grammar."""

from __future__ import annotations

import json
import random
from functools import cache
from typing import Annotated, Literal

from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, create_model
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers import models as models_
from transformers import PreTrainedTokenizerFast

from localist_core.writing.grammar import Grammars
from localist_core.writing.schema import Schema
from tests.localist_core import vocabularies

SIZE = 448
"""Width of the logits: more than any of the tokenizers knows."""


class Hold(BaseModel):
    kind: Literal["hold"]


class Goto(BaseModel):
    kind: Literal["goto"]
    node: Literal["north", "south"]
    speed: int = Field(ge=0, le=30)


class Yield(BaseModel):
    kind: Literal["yield"]
    gap_m: float = Field(ge=0, le=5)
    why: str = Field(max_length=8)


class Drive(BaseModel):
    """A union that a list of actions cannot hold."""

    act: Annotated[Hold | Goto | Yield, Field(discriminator="kind")]


def numbers() -> st.SearchStrategy[object]:
    whole, real = st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 9))
    ranges = [
        st.tuples(whole, whole).map(lambda e: Annotated[int, Field(ge=min(e), le=max(e))]),
        st.tuples(whole, st.integers(2, 50)).map(lambda e: Annotated[int, Field(gt=e[0], lt=e[0] + e[1])]),
        st.tuples(whole, st.integers(1, 9)).map(
            lambda e: Annotated[int, Field(ge=e[0], le=e[0] + 90, multiple_of=e[1])]
        ),
        st.tuples(real, st.floats(0.001, 10)).map(lambda e: Annotated[float, Field(ge=e[0], le=e[0] + e[1])]),
        st.tuples(real, st.floats(0.001, 10)).map(lambda e: Annotated[float, Field(gt=e[0], lt=e[0] + e[1])]),
        st.sampled_from([0.5, 0.25, 2.0]).map(lambda step: Annotated[float, Field(ge=-3, le=7, multiple_of=step)]),
        whole.map(lambda e: Annotated[int, Field(ge=e)]),
        real.map(lambda e: Annotated[float, Field(lt=e)]),
        st.sampled_from([int, float]),
    ]
    return st.one_of(ranges)


def leaves() -> st.SearchStrategy[object]:
    words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=6)
    lengths = st.tuples(st.integers(0, 4), st.integers(0, 4))
    return st.one_of(
        numbers(),
        st.lists(st.one_of(words, st.booleans(), st.integers()), min_size=1, max_size=3, unique_by=repr).map(
            lambda values: Literal[tuple(values)]  # type: ignore[misc]
        ),
        lengths.map(lambda n: Annotated[str, Field(min_length=n[0], max_length=sum(n))]),
        st.sampled_from(["^[a-c]{2,4}$", r"^\w(x|[^y-z ])+$", "^(?:A|B)?[0-9]*$", r"^\d\D$"]).map(
            lambda pattern: Annotated[str, Field(pattern=pattern)]
        ),
        st.sampled_from([bool, type(None)]),
    )


@st.composite
def records(draw, inner) -> object:
    names = draw(st.lists(st.sampled_from(["a", "b", 'q"\\', "ü", "x y"]), max_size=4, unique=True))
    fields = {}
    for n, name in enumerate(names):
        default = draw(st.sampled_from([..., None]))
        fields[f"f{n}"] = (draw(inner), Field(default, alias=name))
    extra = draw(st.sampled_from(["forbid", "ignore"]))
    return create_model(draw(st.sampled_from(["One", "Two"])), __config__=ConfigDict(extra=extra), **fields)


def arrays(inner) -> st.SearchStrategy[object]:
    counts = st.tuples(inner, st.integers(0, 2), st.integers(0, 2))
    lists = counts.map(lambda e: Annotated[list[e[0]], Field(min_length=e[1], max_length=e[1] + e[2])])  # type: ignore[name-defined]
    return st.one_of(lists, st.tuples(inner, inner).map(lambda pair: tuple[pair]))  # type: ignore[valid-type]


def annotations() -> st.SearchStrategy[object]:
    return st.recursive(
        leaves(),
        lambda inner: st.one_of(
            arrays(inner), records(inner), st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1] | None)
        ),
        max_leaves=5,
    )


def models() -> st.SearchStrategy[type[BaseModel]]:
    """Pydantic models of every feature that a grammar holds, nested."""
    return annotations().map(lambda shape: create_model("Root", value=(shape, ...)))


@cache
def json_level() -> PreTrainedTokenizerFast:
    """Byte-level, with tokens across every border of JSON: `","`, `"}}`, `0.25,"`, whole names and runs of digits."""
    core = Tokenizer(models_.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    source = random.Random(0)
    texts = [
        json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        for n in range(40)
        for value in (
            {"value": [source.randint(-999, 999), source.random(), "ab", None, True], "a": {"b": "", "ü": "x y"}},
            {"act": {"kind": "yield", "gap_m": round(source.uniform(0, 5), 2), "why": "red light"}, "f": f"object_{n}"},
        )
    ]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=560, initial_alphabet=alphabet, show_progress=False))
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|endoftext|>")


def grammars(kind: str = "byte-level") -> Grammars:
    if kind == "json-level":
        return Grammars(json_level(), 576)
    return Grammars(vocabularies.KINDS[kind](), SIZE)


def drawn(grammars: Grammars, schema: Schema, seed: int, *, most: int = 400) -> bytes | None:
    """A text drawn evenly from the mask, quotes and brackets three times as often; None if it got too long."""
    matcher, source, text = grammars.matcher(schema), random.Random(seed), b""
    for _ in range(most):
        if matcher.is_done:
            return text
        allowed = matcher.allowed().tolist()
        assert allowed, text
        closing = [token for token in allowed if grammars.tokens[token] in (b'"', b"]", b"}", b",")]
        token = source.choice(closing if closing and source.random() < 0.3 else allowed)
        matcher.accept(token)
        text += grammars.tokens[token]
    return None


def is_text(grammars: Grammars, schema: Schema, text: str) -> bool:
    """Whether the grammar holds this text, fed byte for byte."""
    of_byte = {spelled: token for token, spelled in enumerate(grammars.tokens) if len(spelled) == 1}
    matcher = grammars.matcher(schema)
    for byte in text.encode():
        token = of_byte[bytes([byte])]
        if matcher.is_done or token not in matcher.allowed().tolist():
            return False
        matcher.accept(token)
    return matcher.is_done
