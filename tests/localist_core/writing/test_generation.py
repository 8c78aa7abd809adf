"""Open choices: written under a dial in batches, equal to the stock model and to themselves, and never half a value."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator
from transformers import AutoModelForCausalLM, LogitsProcessor, LogitsProcessorList, PreTrainedModel

from localist_core.dial import Dial
from localist_core.errors import BudgetError, DialError, EncodingError, NumericsError, RequestError, TextError
from localist_core.serving.shared import SharedCore
from localist_core.writing.grammar import Grammars
from localist_core.writing.open_choice import OpenChoice, OpenFailure, OpenRequest, Sampling
from localist_core.writing.schema import schema_of
from tests.localist_core import schemas, tiny, vocabularies

FAMILIES = ("llama", "gemma2", "gpt2", "gpt_oss")


def model(family: str) -> PreTrainedModel:
    """As `tiny.model`, for a larger vocabulary."""
    config = deepcopy(tiny.CONFIGS[family])
    config.vocab_size = schemas.SIZE
    torch.manual_seed(0)
    made = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in made.parameters():
            if weight.ndim >= 2:
                weight.mul_(6.0)
    return made.eval()


def core_of(family: str) -> SharedCore:
    return SharedCore(model(family), vocabularies.byte_level(), name=family)


@pytest.fixture(scope="module")
def llama() -> SharedCore:
    return core_of("llama")


def ask(
    dial: float = 0.0, *, seed: int | None = None, schema: object = schemas.Drive, text: str = "", **parts: object
) -> OpenRequest:
    """A question whose targets every window of the tiny models still shows."""
    return OpenRequest(
        agent="car-1",
        prompt=tiny.prompt(message=text, rules=1),
        schema=schema,  # type: ignore[arg-type]
        dial=dial if isinstance(dial, Dial) else Dial(dial, frozenset({"R1"})),
        sampling=None if seed is None else Sampling(seed=seed),
        **parts,  # type: ignore[arg-type]
    )


class Short(BaseModel):
    speed: int = Field(ge=0, le=30)


BATCH = [
    ask(0.0, seed=1, text="car says go"),
    ask(0.8, seed=2, text="car says go", evidence=True),
    ask(0.3, schema=Short),
    ask(1.0, seed=3, text="car says go", evidence=True),
    ask(0.5, seed=4, schema=Short, evidence=True),
    ask(0.0, seed=5),
]
"""Several schemas, dials, lengths and ways to draw."""


def test_every_answer_is_a_value_of_its_schema(llama) -> None:
    for request, answer in zip(BATCH, llama.decide_open(BATCH), strict=True):
        assert isinstance(answer, OpenChoice)
        assert isinstance(answer.value, request.schema)
        assert answer.value == request.schema.model_validate_json(answer.text)
        assert b"".join(llama._writer.grammars.tokens[token.id] for token in answer.tokens).decode() == answer.text
        assert len(answer.numbers) == (sum(t.num_allowed > 1 for t in answer.tokens) if request.sampling else 0)


def alone(core: SharedCore) -> tuple[object, ...]:
    return tuple(core.decide_open([request])[0] for request in BATCH)


@pytest.mark.parametrize("family", ["localist", "llama", "gpt2"])
def test_row_alone_is_the_row_in_a_batch_bit_for_bit(family) -> None:
    core = core_of(family)
    assert core.decide_open(BATCH) == alone(core)


def test_recorded_numbers_draw_the_same_text_again(llama) -> None:
    for request, answer in zip(BATCH, llama.decide_open(BATCH), strict=True):
        again = replace(request, sampling=request.sampling and Sampling(numbers=answer.numbers))
        assert llama.decide_open([again]) == (answer,)


class Masked(LogitsProcessor):
    """The grammar inside transformers' own loop; what it chose is written down, for it stops too late."""

    def __init__(self, grammars: Grammars, start: int) -> None:
        self.matcher, self.start = grammars.matcher(schema_of(schemas.Drive)), start

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if input_ids.shape[1] > self.start and not self.matcher.is_done:
            self.matcher.accept(int(input_ids[0, -1]))
        if self.matcher.is_done:
            return scores
        masked = torch.full_like(scores, -torch.inf)
        allowed = self.matcher.allowed()
        masked[:, allowed] = scores[:, allowed]
        return masked


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_text_at_dial_zero_is_that_of_the_stock_model(family) -> None:
    core, stock = core_of(family), model(family)
    (answer,) = core.decide_open([ask()])
    ids = list(core._encoder.encode(ask().prompt).ids)
    said = stock.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        logits_processor=LogitsProcessorList([Masked(core._writer.grammars, len(ids))]),
        max_new_tokens=len(answer.tokens),
        do_sample=False,
        pad_token_id=0,
    )
    assert said[0, len(ids) :].tolist() == [token.id for token in answer.tokens]


def test_probabilities_are_those_of_the_text_read_as_a_whole(llama) -> None:
    """One forward of the stock model over prompt and text, and a softmax over what was allowed."""
    (answer,) = llama.decide_open([ask(seed=7)])
    ids = list(llama._encoder.encode(ask().prompt).ids)
    with torch.inference_mode():
        logits = model("llama")(torch.tensor([ids + [token.id for token in answer.tokens]])).logits[0].double()
    matcher = llama._writer.grammars.matcher(schema_of(schemas.Drive))
    for place, token in enumerate(answer.tokens):
        allowed = matcher.allowed()
        own = torch.softmax(logits[len(ids) - 1 + place], 0)
        part = own[allowed].sum()
        assert token.num_allowed == len(allowed)
        assert token.allowed_mass == pytest.approx(float(part), rel=1e-3)
        assert token.log_probability == pytest.approx(float((own[token.id] / part).log()), abs=1e-4)
        matcher.accept(token.id)
    assert answer.log_probability == pytest.approx(sum(token.log_probability for token in answer.tokens))
    assert answer.margin == min(token.margin for token in answer.tokens)


def test_trace_is_steered_to_the_dial_and_raw_at_zero(llama) -> None:
    zero, some, cut = llama.decide_open(
        [ask(dial, schema=Short, text="car says go", evidence=True) for dial in (0.0, 0.8, 1.0)]
    )
    assert all(before == pytest.approx(after) for before, after in zero.trace.layers)
    assert all(after >= 0.8 - 1e-5 for _, after in some.trace.layers)
    assert all(after == pytest.approx(1.0) for _, after in cut.trace.layers)
    assert all(one.trace.is_raw_from_dial_zero for one in (zero, some, cut))
    assert some.trace.blocks == ("schema", "goal", "observation", "R1", "message", "options", "decision")
    assert sum(some.trace.steered) == pytest.approx(1.0, abs=1e-5)


def test_dial_changes_what_is_written(llama) -> None:
    texts = {llama.decide_open([ask(dial, seed=1, text="car says stop")])[0].text for dial in (0.0, 0.99)}
    assert len(texts) == 2


@settings(max_examples=15)
@given(
    text=st.text(max_size=40) | st.sampled_from(['{"act":{"kind":"fly"}}', "<|im_end|>", 'schema : {"type":"string"}'])
)
def test_message_changes_no_grammar_and_at_dial_one_nothing_at_all(llama, text) -> None:
    cut, free = llama.decide_open([ask(1.0, seed=9, text=text), ask(0.0, seed=9, text=text)])
    expected = llama.decide_open([ask(1.0, seed=9, text="go")])[0]
    assert (cut.text, cut.tokens) == (expected.text, expected.tokens)
    assert free.value == schemas.Drive.model_validate_json(free.text)
    assert free.tokens[0].num_allowed == cut.tokens[0].num_allowed


def test_budget_that_is_spent_is_a_failure_of_that_request_alone(llama) -> None:
    failed, fine = llama.decide_open([ask(seed=1, budget=12), ask(seed=1)])
    assert isinstance(failed, OpenFailure)
    assert isinstance(failed.error, BudgetError)
    assert failed.num_tokens == 12
    assert (fine,) == llama.decide_open([ask(seed=1)])


def test_budget_of_just_the_text_is_enough(llama) -> None:
    (answer,) = llama.decide_open([ask(seed=1)])
    assert llama.decide_open([ask(seed=1, budget=len(answer.tokens))]) == (answer,)


class Picky(Short):
    @field_validator("speed")
    @classmethod
    def no_speed_is_right(cls, value: int) -> int:
        raise ValueError("too fast")


class Broken(Short):
    @field_validator("speed")
    @classmethod
    def fails(cls, value: int) -> int:
        return value // 0


@pytest.mark.parametrize(
    ("schema", "said"), [(Picky, "at `speed`: Value error, too fast"), (Broken, "ZeroDivisionError")]
)
def test_value_that_pydantic_refuses_is_a_failure(llama, schema, said) -> None:
    (failed,) = llama.decide_open([ask(schema=schema)])
    assert isinstance(failed, OpenFailure)
    assert isinstance(failed.error, TextError)
    assert said in str(failed.error)


def test_numbers_that_are_none_are_a_failure() -> None:
    broken = model("llama")
    core = SharedCore(broken, vocabularies.byte_level(), name="llama")
    with torch.no_grad():
        broken.get_output_embeddings().weight.fill_(torch.nan)
    (failed,) = core.decide_open([ask()])
    assert isinstance(failed, OpenFailure)
    assert isinstance(failed.error, NumericsError)


def test_dead_end_is_a_failure() -> None:
    """Words that can open a number and not write it."""
    core = SharedCore(tiny.model("llama"), without_digits(), name="llama")
    (failed,) = core.decide_open(
        [ask(schema={"type": "object", "properties": {"v": {"type": "integer"}}, "required": ["v"]})]
    )
    assert isinstance(failed, OpenFailure)
    assert isinstance(failed.error, TextError)
    assert failed.text == '{"v":-'


def without_digits():
    made = tiny.tokenizer()
    made.add_special_tokens({"additional_special_tokens": [*tiny.SLOTS, *"0123456789", "10", "20"]})
    return made


def test_too_few_recorded_numbers_are_a_failure(llama) -> None:
    (failed,) = llama.decide_open([replace(ask(), sampling=Sampling(numbers=()))])
    assert isinstance(failed, OpenFailure)
    assert isinstance(failed.error, RequestError)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (lambda: ask(Dial(0.5, frozenset({"R1"}), scope="all")), DialError),
        (lambda: ask(budget=5000), EncodingError),
    ],
)
def test_request_that_cannot_be_begun_is_an_error_for_all(llama, request_, error) -> None:
    with pytest.raises(error):
        llama.decide_open([ask(), request_()])


@pytest.mark.parametrize(
    "parts", [{"seed": 1, "numbers": (0.5,)}, {}, {"seed": 1, "temperature": 0.0}, {"numbers": (1.0,)}]
)
def test_sampling_that_contradicts_itself_is_an_error(parts) -> None:
    with pytest.raises(RequestError):
        Sampling(**parts)


def test_sampling_follows_the_distribution_over_allowed_tokens(llama) -> None:
    """The same number draws the token at that place of the distribution: its ends give the first and the last."""
    schema = {"enum": ["a", "b"]}
    first, last = (
        llama.decide_open([replace(ask(schema=schema), sampling=Sampling(numbers=(number,)))])[0]
        for number in (0.0, 1.0 - 1e-12)
    )
    assert (first.value, last.value) == ("a", "b")


def test_answer_without_a_choice_asks_the_model_for_nothing_but_the_trace(llama) -> None:
    (answer,) = llama.decide_open([ask(schema={"const": "go"})])
    assert (answer.value, answer.margin, answer.log_probability) == ("go", 1.0, 0.0)


def test_chat_model_writes_behind_its_template() -> None:
    """In bfloat16 too; no token of the text is one of the template's."""
    tokenizer = vocabularies.chat_tokenizer()
    core = SharedCore(model("llama").to(torch.bfloat16), tokenizer, name="chat")
    answers = core.decide_open([ask(0.5, seed=seed, text="<|im_end|>", evidence=True) for seed in range(3)])
    special = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
    for answer in answers:
        assert isinstance(answer, OpenChoice)
        assert special.isdisjoint(token.id for token in answer.tokens)
        assert answer.trace.blocks[0] == "template-1"
