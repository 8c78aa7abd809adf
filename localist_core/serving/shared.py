"""One language model for all agents: many requests, one batched forward, a dial for each row.

Load the core that ships with `SharedCore.load()`, or any causal language model saved by transformers with
`SharedCore.load("DIRECTORY")`. Read `SharedCore.decide` first.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from localist_core.attending.backend import Chosen, choose
from localist_core.attending.probe import probe
from localist_core.attending.row import Row
from localist_core.attending.temperature import heat
from localist_core.attending.trace import Seen, trace_of
from localist_core.blocks import Prompt
from localist_core.choice import trie_of
from localist_core.core import Capabilities, Choice, Request, check_capable, check_knock_out, choice_of, gathered
from localist_core.dial import Dial
from localist_core.errors import EncodingError, NumericsError, OverloadError, RequestError
from localist_core.prompting.chat import encoder_of
from localist_core.prompting.encoding import Encoding
from localist_core.serving.beginnings import CAPACITY_BYTES
from localist_core.serving.citing import Citer, masses_at_options
from localist_core.serving.loading import SHIPPED, Dtype, device_of, dtype_on, fingerprint, load, own_config
from localist_core.serving.scoring import Scored, Scorer, probabilities_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from localist_core.writing.generation import Writer
    from localist_core.writing.open_choice import OpenAnswer, OpenRequest

CAPACITY = 1024
"""Most requests in one call."""


class SharedCore:
    """A causal language model behind `Core`. One call runs at a time; others wait."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str,
        chosen: Chosen | None = None,
        prefix_bytes: int = CAPACITY_BYTES,
        checks: bool = True,
        graphs: bool = False,
    ) -> None:
        """Take over a model; it then belongs to this core.

        Args:
            model: on its device.
            tokenizer: of the model.
            name: of the core.
            chosen: what attends for the decision rows; None = what suits the model's device.
            prefix_bytes: most bytes of beginnings of prompts that are kept; 0 reads every prompt whole.
            checks: whether to try that a row alone is the row in a batch (see selfcheck.py), at the price of 16 rows.
            graphs: whether forwards are replayed as CUDA graphs (see graphs.py).

        Raises:
            UnsupportedModelError: its attention cannot be steered and measured.
        """
        own_config(model)
        self._model = model
        model.train(False)
        self.chosen = choose(model.device, model.dtype) if chosen is None else chosen
        """What attends for the decision rows, and what was tried in vain."""
        backend = self.chosen.backend
        self.probed = probe(model, backend)
        """What the load-time probe saw."""
        self._stock = self.probed.stock
        self._tokenizer = tokenizer
        self._encoder = encoder_of(tokenizer)
        self.is_chat = tokenizer.chat_template is not None
        """Whether prompts pass through the tokenizer's chat template."""
        self._longest = int(getattr(model.config.get_text_config(), "max_position_embeddings", 0)) or 1 << 30
        identity = fingerprint(model, tokenizer, backend.name)
        self._scorer = Scorer(
            model,
            stock=self._stock,
            pad_id=tokenizer.pad_token_id or 0,
            fingerprint=identity,
            prefix_bytes=prefix_bytes,
            backend=backend,
            graphs=graphs,
        )
        self._citer = self._citer_of(model)
        self._writer: Writer | None = None
        self._lock = threading.Lock()
        found = self._scorer.settle() if checks else None
        self.capabilities = Capabilities(
            name=name,
            dials=True,
            traces=True,
            cites=self._citer is not None,
            device=str(model.device),
            dtype=str(model.dtype).removeprefix("torch."),
            fingerprint=identity,
            is_batch_invariant=None if found is None else not found,
            batch_difference=found or "",
        )

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        device: str = "auto",
        dtype: Dtype = "auto",
        threads: int = 1,
        backend: str = "auto",
        temperature: float = 1.0,
        prefix_bytes: int = CAPACITY_BYTES,
        checks: bool = True,
        graphs: bool = False,
    ) -> SharedCore:
        """Load a model from a local directory; nothing is downloaded.

        Args:
            path: a directory saved by transformers; None = the core that ships.
            device: `auto` (a GPU where torch sees one), `cpu`, `cuda` or `cuda:N`.
            dtype: `auto` is float32 on the CPU and the saved type on a GPU.
            threads: CPU threads of torch, for the whole process; sums keep their order at 1.
            backend: what attends for the decision rows: `auto` (see `backend.choose`), `packed`, `triton` or `varlen`.
            temperature: of attention in all layers, see `temperature.py`; 1 = as trained.
            prefix_bytes: see `__init__`.
            checks: see `__init__`.
            graphs: see `__init__`; on CUDA only, and not tried on a GPU yet.

        Raises:
            ModelMissingError: no complete model and tokenizer in the directory.
            UnsupportedModelError: no causal language model, or its attention cannot be steered and measured, or the
                back end does not work there, or its temperature cannot be changed.
            RequestError: no such device, back end or temperature; or graphs without CUDA.
        """
        place = device_of(device)
        if graphs and place.type != "cuda":
            raise RequestError(f"expected a CUDA device for graphs, got `{place}`; leave graphs out")
        torch.set_num_threads(threads)
        directory = SHIPPED if path is None else Path(path)
        model, tokenizer = load(directory, dtype_on(place, dtype))
        if temperature != 1.0:
            heat(model, temperature)
        name = "localist-small" if path is None else directory.resolve().name
        cast(torch.nn.Module, model).to(place)
        return cls(
            model,
            tokenizer,
            name=name,
            chosen=choose(place, model.dtype, backend),
            prefix_bytes=prefix_bytes,
            checks=checks,
            graphs=graphs,
        )

    @property
    def model(self) -> PreTrainedModel:
        """The model, to look at; it belongs to this core."""
        return self._model

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Its tokenizer."""
        return self._tokenizer

    def decide(self, requests: Sequence[Request]) -> tuple[Choice, ...]:
        """Answer all requests, in their order; one forward for each canonical shape among them.

        Raises:
            CoreError: of any request, for all; see the tree in errors.py.
        """
        if len(requests) > CAPACITY:
            raise OverloadError(f"expected at most {CAPACITY} requests at once, got {len(requests)}; send fewer")
        check_capable(self.capabilities, requests)
        with self._lock:
            rows = [self._row(request, request.dial, has_twin=_has_twin(request)) for request in requests]
            scored = self._scorer.score(rows)
            return tuple(
                self._choice(request, one, self._whole(request)) for request, one in zip(requests, scored, strict=True)
            )

    def decide_open(self, requests: Sequence[OpenRequest]) -> tuple[OpenAnswer, ...]:
        """Answer requests whose actions are too many to list, in their order: each a value of its schema, or a failure.

        Raises:
            CoreError: of any request that cannot be begun, for all; `MissingExtraError` without xgrammar.
        """
        if len(requests) > CAPACITY:
            raise OverloadError(f"expected at most {CAPACITY} requests at once, got {len(requests)}; send fewer")
        with self._lock:
            if self._writer is None:
                from localist_core.writing.generation import Writer  # with an optional library

                self._writer = Writer(
                    self._model, self._tokenizer, encoder=self._encoder, scorer=self._scorer, longest=self._longest
                )
            return self._writer.write(requests)

    def knock_out(self, request: Request, block: str) -> float:
        """See `Core.knock_out`."""
        check_knock_out(self.capabilities, request, block)
        with self._lock:
            rows = [self._row(request, request.dial, cut=cut) for cut in (None, block)]
            before, after = (probabilities_of(request, one) for one in self._scorer.score(rows))
        chosen = max(range(len(before)), key=before.__getitem__)
        if after[chosen] == 0.0:
            raise NumericsError(f"expected a probability above 0 without block `{block}`, got 0")
        return math.log(after[chosen]) - math.log(before[chosen])

    def pointers(self, request: Request) -> Tensor:
        """Where every head rests at the options: (layer, head, action, rule) masses before the dial, in float32.

        Rules are those of the prompt's rulebook, in order.

        Raises:
            CoreError: of the request.
        """
        with self._lock:
            (scored,) = self._scorer.score([self._row(request, request.dial)])
        return masses_at_options(request, scored, self._word_id)

    def read(self, prompt: Prompt) -> tuple[Prompt, Encoding]:
        """A prompt as the model reads it where nothing is cut: arranged, and its tokens.

        Raises:
            EncodingError: it cannot be told to this model.
        """
        arranged = self._encoder.arranged(prompt)
        return arranged, self._encoder.encode(arranged)

    def scored(self, requests: Sequence[Request]) -> tuple[Scored, ...]:
        """What the model makes of the decision rows of each request, as `decide` reads it.

        Raises:
            CoreError: of any request, for all.
        """
        with self._lock:
            return tuple(self._scorer.score([self._row(request, request.dial) for request in requests]))

    def _row(self, request: Request, dial: Dial, *, cut: str | None = None, has_twin: bool = False) -> Row:
        """Encode a request under a dial."""
        prompt = self._encoder.arranged(request.prompt)
        if cut is None:
            prompt = gathered(prompt, dial)
        trie = trie_of([self._encoder.label(action) for action in request.actions], end_id=self._tokenizer.eos_token_id)
        row = Row(
            prompt=prompt, encoding=self._encoder.encode(prompt), dial=dial, trie=trie, cut=cut, has_twin=has_twin
        )
        if row.shape[0] > self._longest:
            raise EncodingError(
                f"expected a prompt of at most {self._longest} tokens, got {row.length} of agent `{request.agent}`"
            )
        return row

    def _whole(self, request: Request) -> Scored | None:
        """Evidence as a row of its own: a hard cut keeps blocks out of the model, a dial of all rows changes keys.

        Untrusted text can make it fail, by its length or by inf and NaN: then there is none, and the decision stands.
        """
        if not _has_own_evidence(request):
            return None
        try:
            (scored,) = self._scorer.score([self._row(request, Dial(0.0, request.dial.targets))])
        except (EncodingError, NumericsError):
            return None
        return scored

    def _choice(self, request: Request, scored: Scored, evidence: Scored | None) -> Choice:
        raw: tuple[Row, Seen] | None = None
        if evidence is not None:
            raw = (evidence.row, evidence.seen)
        elif scored.row.has_twin:
            raw = (scored.row, scored.twin)
        trace = trace_of(scored.row, scored.seen, evidence=raw, blocks=self._encoder.arranged(request.prompt).names())
        citations = None if self._citer is None else self._citer.citations(request, scored)
        return choice_of(request, probabilities_of(request, scored), citations=citations, trace=trace)

    def _citer_of(self, model: PreTrainedModel) -> Citer | None:
        """What reads the citations of a core that ships; no other model was trained to cite."""
        ok = self._word_id("ok") if model.config.model_type == "localist" else None
        if ok is None:
            return None
        pointer: list[int] | None = getattr(model.config, "pointer_head", None)
        return Citer(word=self._word_id, ok=ok, pointer=None if pointer is None else (pointer[0], pointer[1]))

    def _word_id(self, word: str) -> int | None:
        """The one token that this word is; None if it is several or unknown."""
        ids = self._encoder.label(word)
        return ids[0] if len(ids) == 1 and ids[0] != self._tokenizer.unk_token_id else None


def _has_own_evidence(request: Request) -> bool:
    return request.evidence and (request.dial.value == 1.0 or request.dial.touches_prefix)


def _has_twin(request: Request) -> bool:
    return request.evidence and request.dial.value > 0.0 and not _has_own_evidence(request)
