"""Writing the text of an open choice: many rows at once, each under its own grammar and dial.

    prefill   the prompt and what its grammar forces at once, into a cache; its last row says what comes next
    decode    four places for each row and pass: the token chosen last, and what the grammar forces behind it
    reading   prompt and text once more, as a choice from a list is read: probabilities, margins and trace

Four places, because below four rows of a matrix the CPU multiplies in another order: with four a row alone and the same
row in a batch agree bit for bit (a test keeps it so). The reading pass says all that an answer says of its tokens, so
that it can be checked from the text alone. Read `Writer.write` first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor
from transformers import DynamicCache

from localist_core.attending.plan import Plan, step
from localist_core.attending.probe import run
from localist_core.attending.row import Row
from localist_core.attending.trace import trace_of
from localist_core.core import BlockTrace, gathered
from localist_core.dial import Dial
from localist_core.errors import DialError, EncodingError, NumericsError, TextError
from localist_core.serving.scoring import Scored, Scorer
from localist_core.writing.draft import Draft, finite, numbers_of
from localist_core.writing.grammar import Grammars
from localist_core.writing.open_choice import OpenAnswer, OpenChoice, OpenFailure, OpenRequest, Token
from localist_core.writing.schema import schema_of
from localist_core.writing.validation import value_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from localist_core.prompting.chat import ChatEncoder
    from localist_core.prompting.encoding import Encoder

WIDTH: Final = 4
"""Places of each row in one pass of the decoding."""


class Writer:
    """Writes texts with one model. Not safe for threads: the core that owns it is."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        encoder: Encoder | ChatEncoder,
        scorer: Scorer,
        longest: int,
    ) -> None:
        """Take a model that the probe has accepted.

        Args:
            model: set to our attention.
            tokenizer: of the model.
            encoder: of its prompts.
            scorer: of the same model.
            longest: most tokens of prompt and text.

        Raises:
            MissingExtraError: xgrammar is not installed.
            UnsupportedModelError: a tokenizer that cannot carry a grammar.
        """
        self._model = model
        self._pad_id = tokenizer.pad_token_id or 0
        self._encoder = encoder
        self._scorer = scorer
        self._longest = longest
        self.grammars = Grammars(tokenizer, int(model.config.get_text_config().vocab_size))

    @torch.inference_mode()
    def write(self, requests: Sequence[OpenRequest]) -> tuple[OpenAnswer, ...]:
        """Answer all requests, in their order.

        Raises:
            CoreError: of any request that cannot be begun, or a dial that a row cannot honour, for all. What goes wrong
                with one text is that request's `OpenFailure`.
        """
        drafts = [self._draft(request) for request in requests]
        for indices, plan in self._scorer.plans([_longer(draft.row, draft.ids) for draft in drafts]):
            self._decode([drafts[index] for index in indices], plan)
        return tuple(self._answers(drafts))

    def _draft(self, request: OpenRequest) -> Draft:
        """A text of what the grammar forces at once."""
        row = self._row(request, request.dial)
        if row.length + request.budget > self._longest:
            raise EncodingError(
                f"expected prompt and text of at most {self._longest} tokens, got {row.length} and a budget of "
                f"{request.budget} of agent `{request.agent}`"
            )
        schema = schema_of(request.schema)
        draft = Draft(
            request=request,
            row=row,
            schema=schema,
            matcher=self.grammars.matcher(schema),
            drawn=numbers_of(request.sampling),
        )
        draft.force()
        return draft

    def _row(self, request: OpenRequest, dial: Dial) -> Row:
        if dial.touches_prefix:
            raise DialError("expected a dial of the decision rows, got scope `all`; use scope `decision`")
        prompt = gathered(self._encoder.arranged(request.prompt), dial)
        return Row(prompt=prompt, encoding=self._encoder.encode(prompt), dial=dial)

    def _decode(self, drafts: Sequence[Draft], plan: Plan) -> None:
        """Write the texts of one batch, whose prompts `plan` reads, with what was forced behind them."""
        cache = DynamicCache()
        for draft in drafts:
            draft.fed = len(draft.ids)
        while True:
            logits = run(self._model, plan, cache)[:, -1].float().cpu()
            for draft, own in zip(drafts, logits, strict=True):
                if draft.waits:
                    draft.choose(own)
            if not any(draft.is_open for draft in drafts):
                return
            plan = self._next(plan, drafts)

    def _next(self, plan: Plan, drafts: Sequence[Draft]) -> Plan:
        """The next pass: of each text as many new tokens as have a place; padding for one that is complete."""
        ids = torch.full((len(drafts), WIDTH), self._pad_id)
        counts = torch.ones(len(drafts), dtype=torch.long)
        for b, draft in enumerate(drafts):
            new = draft.ids[draft.fed : draft.fed + WIDTH] if draft.is_open else []
            ids[b, : len(new)] = torch.tensor(new, dtype=torch.long)
            counts[b] = max(len(new), 1)
            draft.fed += len(new)
        return step(plan, ids.to(plan.ids.device), counts.to(plan.ids.device))

    def _answers(self, drafts: Sequence[Draft]) -> Iterator[OpenAnswer]:
        """Read prompts and finished texts once more, and answer."""
        done = [draft for draft in drafts if draft.error is None]
        # A hard cut keeps blocks out of the model: then the evidence is a row of its own.
        apart = [draft for draft in done if draft.request.evidence and draft.request.dial.value == 1.0]
        whole = [self._row(draft.request, Dial(0.0, draft.request.dial.targets)) for draft in apart]
        rows = [_reading(draft) for draft in done]
        scored = self._scorer.score([*rows, *(_longer(row, d.ids[:-1]) for row, d in zip(whole, apart, strict=True))])
        read = {id(draft): one for draft, one in zip(done, scored, strict=False)}
        evidence = {id(draft): one for draft, one in zip(apart, scored[len(rows) :], strict=True)}
        for draft in drafts:
            yield self._answer(draft, read.get(id(draft)), evidence.get(id(draft)))

    def _answer(self, draft: Draft, read: Scored | None, evidence: Scored | None) -> OpenAnswer:
        text = b"".join(self.grammars.tokens[token] for token in draft.ids)
        error = draft.error
        if read is not None:
            try:
                tokens, trace = _tokens(draft, read.logits), self._trace(draft.request, read, evidence)
                value = value_of(text, draft.schema, draft.request.schema)
                return OpenChoice(
                    value=value, text=text.decode(), tokens=tokens, trace=trace, dial=draft.request.dial.value
                )
            except (NumericsError, TextError) as failure:
                error = failure
        assert error is not None
        return OpenFailure(error=error, text=text.decode(errors="replace"), num_tokens=len(draft.ids))

    def _trace(self, request: OpenRequest, read: Scored, evidence: Scored | None) -> BlockTrace:
        raw = (read.row, read.twin) if read.row.has_twin else None
        if evidence is not None:
            raw = (evidence.row, evidence.seen)
        return trace_of(read.row, read.seen, evidence=raw, blocks=self._encoder.arranged(request.prompt).names())


def _longer(row: Row, ids: Sequence[int]) -> Row:
    """The row with more tokens of its decision block."""
    encoding, more = row.encoding, range(1, len(ids) + 1)
    return replace(
        row,
        encoding=replace(
            encoding,
            ids=(*encoding.ids, *ids),
            block_ids=(*encoding.block_ids, *(encoding.block_ids[-1] for _ in ids)),
            positions=(*encoding.positions, *(encoding.positions[-1] + n for n in more)),
        ),
    )


def _reading(draft: Draft) -> Row:
    """Prompt and text but for its last token."""
    has_twin = draft.request.evidence and 0.0 < draft.request.dial.value < 1.0
    return replace(_longer(draft.row, draft.ids[:-1]), has_twin=has_twin)


def _tokens(draft: Draft, logits: Tensor) -> tuple[Token, ...]:
    """What the reading pass says of each token, from the logits of all rows, (row, vocabulary)."""
    root = len(draft.row.encoding.ids) - 1 - draft.row.encoding.decision_from
    own = logits[root : root + len(draft.ids)].double().cpu()
    return tuple(
        _token(*told, agent=draft.request.agent)
        for told in zip(draft.ids, draft.allowed, draft.numbers, own, strict=True)
    )


def _token(token: int, allowed: Tensor, number: float | None, logits: Tensor, *, agent: str) -> Token:
    """One token, from the logits of its row, (vocabulary,) float64."""
    scores = finite(logits[allowed], agent)
    whole, part = torch.logsumexp(logits, 0), torch.logsumexp(scores, 0)
    best = torch.softmax(scores, 0).topk(min(2, len(scores))).values.tolist()
    return Token(
        id=token,
        num_allowed=len(allowed),
        allowed_mass=min(1.0, math.exp(float(finite(part - whole, agent)))),
        log_probability=min(0.0, float(logits[token] - part)),
        margin=best[0] - best[1] if len(best) > 1 else 1.0,
        number=number,
    )
