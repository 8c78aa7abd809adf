"""Which token may come next: grammars compiled for one tokenizer. The only file that imports xgrammar.

xgrammar is an optional extra, imported when the first grammar is asked for.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from localist_core.errors import MissingExtraError, SchemaError, TextError
from localist_core.writing.ebnf import grammar_of, literals
from localist_core.writing.schema import Schema
from localist_core.writing.spelling import is_spellable, spellings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CAPACITY: Final = 64
"""Compiled grammars that are kept, the ones used last."""


class Grammars:
    """The grammars of one tokenizer, compiled once for each schema."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, size: int, *, capacity: int = CAPACITY) -> None:
        """Take a tokenizer.

        Args:
            tokenizer: of the model.
            size: token ids of the model, the width of its logits; may be more or less than the tokenizer knows.
            capacity: compiled grammars kept, 1 or more.

        Raises:
            MissingExtraError: xgrammar is not installed.
            UnsupportedModelError: see `spellings`.
        """
        self._library = library()
        self.tokens = spellings(tokenizer, size)
        """What each token spells."""
        self._capacity = capacity
        self._vocabulary = hashlib.sha256(repr(self.tokens).encode()).hexdigest()
        # Tokens that spell nothing are special to the library: no mask ever allows them. There is no stop token: a text
        # shows its own end.
        known = self._library.TokenizerInfo(
            list(self.tokens), self._library.VocabType.RAW, vocab_size=size, stop_token_ids=[]
        )
        self._compiler = self._library.GrammarCompiler(known, max_threads=1, cache_enabled=False)
        self._compiled: OrderedDict[tuple[str, str], Any] = OrderedDict()

    def matcher(self, schema: Schema) -> Matcher:
        """A fresh matcher of a schema's texts.

        Raises:
            SchemaError: a constant or the name of a field that the tokenizer cannot spell.
        """
        key = (schema.sha256, self._vocabulary)
        if key not in self._compiled:
            for text in literals(schema):
                if not is_spellable(text.encode(), self.tokens):
                    raise SchemaError(f"expected constants that the tokenizer can spell, got `{text}`")
            self._compiled[key] = self._compile(grammar_of(schema))
            if len(self._compiled) > self._capacity:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(key)
        made = self._library.GrammarMatcher(self._compiled[key], terminate_without_stop_token=True)
        return Matcher(made, self.tokens)

    def _compile(self, text: str) -> Any:
        try:
            return self._compiler.compile_grammar(text)
        except RuntimeError as error:  # what its C++ raises for a grammar that it cannot hold
            raise SchemaError(
                f"expected a schema that the grammar library holds, got one that it refuses: {error}"
            ) from error


class Matcher:
    """One text as it grows; equal texts allow equal tokens, whatever stood in the prompt."""

    def __init__(self, matcher: Any, tokens: Sequence[bytes]) -> None:
        self._matcher = matcher
        self._tokens = tokens
        self._bits = torch.zeros(1, -(-len(tokens) // 32), dtype=torch.int32)
        self._shifts = torch.arange(32, dtype=torch.int32)

    @property
    def is_done(self) -> bool:
        """Whether the text is complete; nothing can follow then."""
        return bool(self._matcher.is_terminated())

    def allowed(self) -> Tensor:
        """Ids of the tokens that may come next, in order, (choice,) int64; empty = a dead end."""
        self._matcher.fill_next_token_bitmask(self._bits)
        bits = (self._bits[0, :, None] >> self._shifts) & 1
        return bits.flatten()[: len(self._tokens)].nonzero()[:, 0]

    def accept(self, token: int) -> None:
        """Go on with an allowed token.

        Raises:
            TextError: one that is not.
        """
        # INVARIANT: a token that spells nothing is never allowed; said again here, where it would matter.
        if not self._tokens[token] or not self._matcher.accept_token(token):
            raise TextError(f"expected a token that the grammar allows, got `{token}`")


def library(name: str = "xgrammar") -> ModuleType:
    """The library of the masks.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            f"expected the library {name} for open choices, got none; run `pip install localist-agents[grammar]`"
        ) from error
