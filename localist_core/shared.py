"""One language model for all agents: many requests, one batched forward, a dial for each row.

Load the core that ships with `SharedCore.load()`, or any causal language model saved by transformers with
`SharedCore.load("DIRECTORY")`. Read `SharedCore.decide` first.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import threading
from collections import defaultdict
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
import transformers
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

import localist_core.model  # noqa: F401  # makes the family `localist` known to transformers
from localist_core.blocks import DECISION_KINDS, BlockKind, Trust
from localist_core.chat import encoder_of
from localist_core.choice import probabilities, trie_of
from localist_core.core import Capabilities, Choice, Request, check_knock_out, choice_of
from localist_core.dial import Dial
from localist_core.errors import (
    EncodingError,
    ModelMissingError,
    NumericsError,
    OverloadError,
    RequestError,
    UnsupportedModelError,
)
from localist_core.plan import Row, plan_of
from localist_core.probe import probe, run
from localist_core.trace import Seen, seen_of, trace_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SHIPPED = Path(__file__).parent / "weights"
"""Where the core that ships lies."""

CAPACITY = 1024
"""Most requests in one call."""

BATCH = 256
"""Most rows in one forward; more rows of one shape take several."""

Dtype = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What one row gave."""

    row: Row
    logits: Tensor
    """(row, vocabulary) float32 on the device: the decision rows and the fed nodes of the trie."""
    seen: Seen
    twin: Seen
    heads: Tensor
    """(layer, head, row, block) float32: masses before the dial of the decision rows."""


class SharedCore:
    """A causal language model behind `Core`. One call runs at a time; others wait."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, name: str) -> None:
        """Take over a model; it then belongs to this core.

        Raises:
            UnsupportedModelError: its attention cannot be steered and measured.
        """
        _own_config(model)
        self._model = model
        model.train(False)
        self._stock = probe(model)
        self._tokenizer = tokenizer
        self._encoder = encoder_of(tokenizer)
        self._num_layers = int(model.config.get_text_config().num_hidden_layers)
        self._longest = int(getattr(model.config.get_text_config(), "max_position_embeddings", 0)) or 1 << 30
        self._ok_id = self._word_id("ok") if model.config.model_type == "localist" else None
        self._pointer: list[int] | None = getattr(model.config, "pointer_head", None)
        self._lock = threading.Lock()
        self.capabilities = Capabilities(
            name=name,
            dials=True,
            traces=True,
            cites=self._ok_id is not None,
            device=str(model.device),
            dtype=str(model.dtype).removeprefix("torch."),
            fingerprint=_fingerprint(model, tokenizer),
        )

    @classmethod
    def load(
        cls, path: str | Path | None = None, *, device: str = "auto", dtype: Dtype = "auto", threads: int = 1
    ) -> SharedCore:
        """Load a model from a local directory; nothing is downloaded.

        Args:
            path: a directory saved by transformers; None = the core that ships.
            device: `auto` (a GPU where torch sees one), `cpu`, `cuda` or `cuda:N`.
            dtype: `auto` is float32 on the CPU and the saved type on a GPU.
            threads: CPU threads of torch, for the whole process; sums keep their order at 1.

        Raises:
            ModelMissingError: no complete model and tokenizer in the directory.
            UnsupportedModelError: no causal language model, or its attention cannot be steered and measured.
            RequestError: no such device.
        """
        place = _device(device)
        torch.set_num_threads(threads)
        directory = SHIPPED if path is None else Path(path)
        is_saved_type = dtype == "auto" and place.type != "cpu"
        chosen = "auto" if is_saved_type else torch.bfloat16 if dtype == "bfloat16" else torch.float32
        model, tokenizer = _load(directory, chosen)
        name = "localist-small" if path is None else directory.resolve().name
        cast(torch.nn.Module, model).to(place)
        return cls(model, tokenizer, name=name)

    def decide(self, requests: Sequence[Request]) -> tuple[Choice, ...]:
        """Answer all requests, in their order; one forward for each canonical shape among them.

        Raises:
            CoreError: of any request, for all; see the tree in errors.py.
        """
        if len(requests) > CAPACITY:
            raise OverloadError(f"expected at most {CAPACITY} requests at once, got {len(requests)}; send fewer")
        with self._lock:
            rows = [self._row(request, request.dial, has_twin=_has_twin(request)) for request in requests]
            # A hard cut keeps blocks out of the model: then the evidence is a row of its own.
            apart = [request for request in requests if request.evidence and request.dial.value == 1.0]
            whole = [self._row(request, Dial(0.0, request.dial.targets)) for request in apart]
            scored = self._score([*rows, *whole])
            evidence = {id(request): one for request, one in zip(apart, scored[len(rows) :], strict=True)}
            return tuple(
                self._choice(request, one, evidence.get(id(request)))
                for request, one in zip(requests, scored, strict=False)
            )

    def knock_out(self, request: Request, block: str) -> float:
        """See `Core.knock_out`."""
        check_knock_out(request, block)
        with self._lock:
            whole, without = self._score([self._row(request, request.dial, cut=cut) for cut in (None, block)])
        before, after = (self._probabilities(request, one) for one in (whole, without))
        chosen = max(range(len(before)), key=before.__getitem__)
        if after[chosen] == 0.0:
            raise NumericsError(f"expected a probability above 0 without block `{block}`, got 0")
        return math.log(after[chosen]) - math.log(before[chosen])

    def _row(self, request: Request, dial: Dial, *, cut: str | None = None, has_twin: bool = False) -> Row:
        """Encode a request under a dial.

        What a hard cut in all layers takes away and nothing trusted has seen, is not even read: so the decision cannot
        depend on its content or length (framework, section 3, non-interference).
        """
        prompt = self._encoder.arranged(request.prompt)
        if dial.value == 1.0 and dial.gamma == 0.0 and cut is None:
            prompt = prompt.without(
                block.name
                for block in prompt.blocks
                if block.trust is Trust.UNTRUSTED
                and block.kind not in DECISION_KINDS
                and block.name not in dial.targets
            )
        trie = trie_of([self._encoder.label(action) for action in request.actions], end_id=self._tokenizer.eos_token_id)
        row = Row(
            prompt=prompt, encoding=self._encoder.encode(prompt), dial=dial, trie=trie, cut=cut, has_twin=has_twin
        )
        if row.shape[0] > self._longest:
            raise EncodingError(
                f"expected a prompt of at most {self._longest} tokens, got {row.length} of agent `{request.agent}`"
            )
        return row

    @torch.inference_mode()
    def _score(self, rows: Sequence[Row]) -> list[Scored]:
        """Run the rows, one forward for each canonical shape (or more, see `BATCH`); results in their order."""
        of_shape: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            of_shape[row.shape].append(index)
        scored: dict[int, Scored] = {}
        for indices in (some[n : n + BATCH] for some in of_shape.values() for n in range(0, len(some), BATCH)):
            batch = [rows[index] for index in indices]
            plan = plan_of(
                batch,
                stock=self._stock,
                num_layers=self._num_layers,
                pad_id=self._tokenizer.pad_token_id or 0,
                device=self._model.device,
            )
            logits = run(self._model, plan).float()
            seen = seen_of(plan.measured)
            layers = sorted(plan.measured, key=lambda one: one.layer)
            for position, index in enumerate(indices):
                scored[index] = Scored(
                    row=rows[index],
                    logits=logits[position],
                    seen=seen[position][0],
                    twin=seen[position][1],
                    heads=torch.stack([one.heads[position] for one in layers]),
                )
        return [scored[index] for index in range(len(rows))]

    def _choice(self, request: Request, scored: Scored, evidence: Scored | None) -> Choice:
        raw: tuple[Row, Seen] | None = None
        if evidence is not None:
            raw = (evidence.row, evidence.seen)
        elif scored.row.has_twin:
            raw = (scored.row, scored.twin)
        trace = trace_of(scored.row, scored.seen, evidence=raw, blocks=self._encoder.arranged(request.prompt).names())
        citations = self._citations(request, scored) if self._ok_id is not None else None
        return choice_of(request, self._probabilities(request, scored), citations=citations, trace=trace)

    def _probabilities(self, request: Request, scored: Scored) -> tuple[float, ...]:
        trie, encoding = scored.row.trie, scored.row.encoding
        root = len(encoding.ids) - 1 - encoding.decision_from
        nodes = list(trie.branches)
        rows = [root + 1 + node for node in nodes for _ in trie.branches[node]]
        tokens = [token for node in nodes for token in trie.branches[node]]
        flat = iter(self._read(request, scored.logits, rows, tokens))
        return probabilities(trie, {node: [next(flat) for _ in trie.branches[node]] for node in nodes})

    def pointers(self, request: Request) -> Tensor:
        """Where every head rests at the options: (layer, head, action, rule) masses before the dial, in float32.

        Rules are those of the prompt's rulebook, in order.

        Raises:
            CoreError: of the request.
        """
        with self._lock:
            scored = self._score([self._row(request, request.dial)])[0]
        rows = self._option_rows(request, scored)
        return scored.heads[:, :, rows][..., self._rule_blocks(scored)].cpu()

    def _rule_blocks(self, scored: Scored) -> list[int]:
        blocks = scored.row.prompt.blocks
        return [index for index, block in enumerate(blocks) if block.kind is BlockKind.RULEBOOK]

    def _citations(self, request: Request, scored: Scored) -> tuple[str | None, ...]:
        """At each action's slot in the options: the rule of the prompt, or none, that the model names next.

        Whether any rule forbids the action is what the model says next: `ok`, or some rule. Which one it is, the
        pointer head shows where one is known: the rule on which it rests most.
        """
        names = scored.row.prompt.names(BlockKind.RULEBOOK)
        assert self._ok_id is not None
        anchors = [self._word_id(name) for name in names]
        tokens = [self._ok_id, *(token for token in anchors if token is not None)]
        rows = self._option_rows(request, scored)
        flat = self._read(request, scored.logits, [row for row in rows for _ in tokens], tokens * len(rows))
        said = torch.tensor(flat).view(len(rows), len(tokens))
        if not names or len(tokens) <= len(names):
            return (None,) * len(rows)  # a rule whose name is no token cannot be cited, so nothing can
        is_forbidden = (said[:, 1:].logsumexp(1) > said[:, 0]).tolist()
        chosen = said[:, 1:].argmax(1)
        if self._pointer is not None:
            layer, head = self._pointer
            chosen = scored.heads[layer, head, rows][:, self._rule_blocks(scored)].argmax(1)
        return tuple(names[int(c)] if bad else None for bad, c in zip(is_forbidden, chosen, strict=True))

    def _option_rows(self, request: Request, scored: Scored) -> list[int]:
        """The decision row of each action: its slot in the options block.

        Raises:
            RequestError: an action that is no word of the options block.
        """
        prompt, encoding = scored.row.prompt, scored.row.encoding
        slots: dict[int, int] = {}
        for index in range(encoding.decision_from, len(encoding.ids)):
            if prompt.blocks[encoding.block_ids[index]].kind is BlockKind.OPTIONS:
                slots.setdefault(encoding.ids[index], index - encoding.decision_from)
        words = [self._word_id(action) for action in request.actions]
        wanted = [None if word is None else slots.get(word) for word in words]
        if None in wanted:
            missing = request.actions[wanted.index(None)]
            raise RequestError(f"expected every action as a word of the options block, got no `{missing}` there")
        return [row for row in wanted if row is not None]

    def _read(self, request: Request, logits: Tensor, rows: list[int], tokens: list[int]) -> list[float]:
        if not rows:
            return []
        values: list[float] = logits[torch.tensor(rows), torch.tensor(tokens)].tolist()
        if not all(abs(value) < float("inf") for value in values):
            raise NumericsError(f"expected finite logits for agent `{request.agent}`, got inf or NaN")
        return values

    def _word_id(self, word: str) -> int | None:
        """The one token that this word is; None if it is several or unknown."""
        ids = self._encoder.label(word)
        return ids[0] if len(ids) == 1 and ids[0] != self._tokenizer.unk_token_id else None


def _has_twin(request: Request) -> bool:
    return request.evidence and 0.0 < request.dial.value < 1.0


def _load(directory: Path, dtype: torch.dtype | str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    if not (directory / "config.json").is_file():
        raise ModelMissingError(f"expected a model directory with a config.json, got `{directory}`")
    bars: Any = transformers_logging
    had_bars = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            directory, dtype=dtype, local_files_only=True, trust_remote_code=False, output_loading_info=True
        )
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )
    except OSError as error:
        raise ModelMissingError(
            f"expected a complete model in `{directory}`, got {_first_line(error)}; save model and tokenizer there"
        ) from error
    except (ValueError, KeyError, ImportError) as error:
        family = json.loads((directory / "config.json").read_text()).get("model_type")
        raise UnsupportedModelError(
            f"expected a causal language model in `{directory}`, got family `{family}`: {_first_line(error)}"
        ) from error
    finally:
        if had_bars:
            bars.enable_progress_bar()
    model, info = cast("tuple[PreTrainedModel, dict[str, set[str]]]", loaded)
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelMissingError(
            f"expected all weights in `{directory}`, got none for {len(missing)}, such as `{missing[0]}`"
        )
    return model, tokenizer


def _own_config(model: PreTrainedModel) -> None:
    """Give the model a configuration of its own: two models built from one would switch each other's attention."""
    copies: dict[int, Any] = {}
    for module in model.modules():
        config = getattr(module, "config", None)
        if isinstance(config, transformers.PreTrainedConfig):
            setattr(module, "config", deepcopy(config, copies))  # noqa: B010  # typed as a tensor or module otherwise


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RequestError(f"expected the device auto, cpu or cuda:N, got `{name}`") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise RequestError(f"expected one of {torch.cuda.device_count()} CUDA devices, got `{name}`; use cpu")
    return device


def _fingerprint(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """`MODEL-PLATFORM`: hashes of weights, configuration and vocabulary, and of what computes with them."""
    of_model = hashlib.sha256(json.dumps(model.config.to_diff_dict(), sort_keys=True, default=str).encode())
    of_model.update(json.dumps(sorted(tokenizer.get_vocab().items())).encode())
    for name, weight in sorted(model.state_dict().items()):
        of_model.update(name.encode())
        of_model.update(weight.detach().contiguous().flatten().view(torch.uint8).cpu().numpy().tobytes())
    device = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else platform.machine()
    parts = (torch.__version__, transformers.__version__, device, str(model.dtype))
    return f"{of_model.hexdigest()[:16]}-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:8]}"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
