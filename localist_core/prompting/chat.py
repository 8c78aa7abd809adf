"""Prompts for chat models: rendered through the model's own chat template, with exact spans.

The template is rendered once with a sentinel in the place of each turn's content and cut apart there; its pieces and
the blocks are tokenised each on its own and the ids are joined. So no span is found by searching, and no text of a
block ever passes through the template. That this gives what the template would have given, that is, that the template
is its pieces with the contents between them, is tried on load with many contents; another template is refused.

    piece 1     before the system's turn: neutral
    system      schema, role, rulebook
    piece 2     from there to the user's turn: neutral
    user        goal, observation, injection, messages, memory, options, decision
    piece 3     from there to where the assistant speaks: part of the decision, its rows are decision rows

A template that knows no system turn gets all blocks in the user's turn.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from localist_core.blocks import CHAT_ORDER, Block, BlockKind, Prompt, PromptError
from localist_core.errors import EncodingError, UnsupportedModelError
from localist_core.prompting.encoding import Encoder, Encoding, joined
from localist_core.prompting.harmless import SEPARATORS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SYSTEM_KINDS: Final = frozenset({BlockKind.SCHEMA, BlockKind.ROLE, BlockKind.RULEBOOK})
"""What the system says; everything else is the user's turn."""

SEPARATOR: Final = "\n"
"""Between two blocks of one turn; it counts to the later one. A sign stands for it where it has no token."""

TODAY: Final = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
"""What templates that tell the date are told: prompts must not depend on the day."""

CLOCK: Final = (
    "{% macro strftime_now(format) %}{{ format"
    + "".join(f" | replace('{code}', '{TODAY.strftime(code)}')" for code in ("%Y", "%m", "%d", "%b", "%B", "%A"))
    + " }}{% endmacro %}{{ '' }}"
)
"""Put before a template: hides the clock that transformers gives to templates."""

SENTINELS: Final = ("qzsystemsentinelzq", "qzusersentinelzq")
"""Words that no template holds."""

CONTENTS: Final = (
    "7",
    "gap is 12.5 ; if F1 < 15 yes and F2 is V1 no : not A2 R1",
    "Ünïcode 你好 🚗",
    "two lines\nof  text\n\nand more",
    "{{ 1 + 1 }} {% if true %} # {#",
    "<b>&amp;</b> \"quoted\" 'single' \\n",
    "word " * 500 + "end",
)
"""Contents that a pure concatenation must leave as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A chat template taken apart."""

    with_system: tuple[str, str, str] | None
    """Text before the system's content, between it and the user's, and from there to where the assistant speaks;
    None = it has no system turn."""
    without_system: tuple[str, str]
    """Text before the user's content and after it."""

    @property
    def markers(self) -> tuple[str, ...]:
        """Words of the pieces that are more than letters and digits, such as `[INST]` or `USER:`."""
        pieces = (*(self.with_system or ()), *self.without_system)
        words = {word for piece in pieces for word in piece.split()}
        return tuple(sorted(word for word in words if len(word) > 1 and re.search(r"[^\w\s]|_", word)))


class ChatEncoder:
    """Tokenises prompts for a chat model; what `Encoder` is to other models."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, capacity: int = 4096) -> None:
        """Take the tokenizer's template apart.

        Raises:
            UnsupportedModelError: its template is not a plain concatenation of the contents, with name and reason.
        """
        self._template = template_of(tokenizer)
        self._encoder = Encoder(tokenizer, markers=self._template.markers, capacity=capacity)
        # Without a token between two messages they could spell a marker together.
        separators = [ids for text in (SEPARATOR, *SEPARATORS) if (ids := self._encoder.label(text))]
        if not separators:
            raise _refusal(tokenizer, "no token can stand between two messages")
        self._separator = separators[0]

    def arranged(self, prompt: Prompt) -> Prompt:
        """The prompt as the model reads it: in chat order, with the pieces of the template as neutral blocks.

        Raises:
            EncodingError: an untrusted block would stand before a trusted one, or a block has a template's name.
        """
        blocks = sorted(prompt.blocks, key=lambda block: CHAT_ORDER.index(block.kind))
        system = [block for block in blocks if block.kind in SYSTEM_KINDS]
        pieces: Sequence[str] = self._template.without_system[:1]
        if system and self._template.with_system is not None:
            pieces = self._template.with_system[:2]
        else:
            system = []
        turns = [system, blocks[len(system) :]][2 - len(pieces) :]
        arranged: list[Block] = []
        for number, (piece, turn) in enumerate(zip(pieces, turns, strict=True), 1):
            arranged += [Block(kind=BlockKind.TEMPLATE, name=f"template-{number}", text=piece), *turn]
        try:
            return Prompt(tuple(arranged), CHAT_ORDER)
        except PromptError as error:
            raise EncodingError(
                f"expected a prompt that can be told as a chat, got one that cannot: {error}"
            ) from error

    def encode(self, prompt: Prompt) -> Encoding:
        """Encode an arranged prompt; template pieces with their special tokens, blocks as `Encoder` does.

        Raises:
            EncodingError: a prompt that was not arranged, or untrusted text that cannot be made harmless.
        """
        num_pieces = len(prompt.names(BlockKind.TEMPLATE))
        if not num_pieces:
            raise EncodingError("expected a prompt with the pieces of the chat template, got none; arrange it first")
        whole = self._template.with_system if num_pieces == 2 else self._template.without_system
        assert whole is not None
        pieces = []
        opens = False
        for block in prompt.blocks:
            ids = self._encoder.block(block)
            is_piece = block.kind is BlockKind.TEMPLATE
            pieces.append(ids if is_piece or opens or not ids else (*self._separator, *ids))
            opens = is_piece or (opens and not ids)
        pieces[-1] = (*pieces[-1], *self._encoder.label(whole[-1]))
        return joined(prompt, pieces)

    def label(self, text: str) -> tuple[int, ...]:
        """Token ids of trusted text, special tokens included."""
        return self._encoder.label(text)


def encoder_of(tokenizer: PreTrainedTokenizerBase) -> Encoder | ChatEncoder:
    """The encoder that fits: through the chat template where the tokenizer has one.

    Raises:
        UnsupportedModelError: see `ChatEncoder`.
    """
    return ChatEncoder(tokenizer) if tokenizer.chat_template else Encoder(tokenizer)


def template_of(tokenizer: PreTrainedTokenizerBase) -> Template:
    """Take the chat template of a tokenizer apart.

    Raises:
        UnsupportedModelError: it fails, or is no plain concatenation, with the tokenizer's name and the reason.
    """
    without = _cut(tokenizer, ("user",))
    try:
        _rendered(tokenizer, ("system", "user"), SENTINELS)
    except UnsupportedModelError:  # Gemma's, for one, raises an error of its own
        return Template(with_system=None, without_system=(without[0], without[1]))
    with_system = _cut(tokenizer, ("system", "user"))
    return Template(
        with_system=(with_system[0], with_system[1], with_system[2]), without_system=(without[0], without[1])
    )


def _cut(tokenizer: PreTrainedTokenizerBase, roles: Sequence[str]) -> tuple[str, ...]:
    """The pieces of the template around the contents of these turns, one more than turns."""
    sentinels = SENTINELS[-len(roles) :]
    rest = _rendered(tokenizer, roles, sentinels)
    pieces = []
    for role, sentinel in zip(roles, sentinels, strict=True):
        if rest.count(sentinel) != 1:
            raise _refusal(tokenizer, f"it shows what the {role} says {rest.count(sentinel)} times or out of order")
        piece, _, rest = rest.partition(sentinel)
        pieces.append(piece)
    pieces.append(rest)
    for shift in range(len(roles)):
        for index in range(len(CONTENTS)):
            contents = [CONTENTS[(index + shift * n) % len(CONTENTS)] for n in range(len(roles))]
            expected = "".join(a + b for a, b in zip(pieces, [*contents, ""], strict=True))
            if _rendered(tokenizer, roles, contents) != expected:
                raise _refusal(tokenizer, f"it changes contents such as `{min(contents, key=len)[:40]}`")
    return tuple(pieces)


def _rendered(tokenizer: PreTrainedTokenizerBase, roles: Sequence[str], contents: Sequence[str]) -> str:
    # INVARIANT: transformers renders in a sandbox (jinja2's ImmutableSandboxedEnvironment); a test keeps it so.
    turns = [{"role": role, "content": content} for role, content in zip(roles, contents, strict=True)]
    try:
        text = tokenizer.apply_chat_template(
            turns,
            chat_template=CLOCK + tokenizer.get_chat_template(),
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,  # the decision is scored right behind the prompt
        )
    except Exception as error:  # a template is somebody else's program: anything may come out of it
        raise _refusal(tokenizer, f"it fails ({type(error).__name__}: {error})") from error
    return cast(str, text)


def _refusal(tokenizer: PreTrainedTokenizerBase, reason: str) -> UnsupportedModelError:
    name = tokenizer.name_or_path or type(tokenizer).__name__
    return UnsupportedModelError(
        f"expected a chat template that is a plain concatenation of what is said, got that of `{name}`: {reason}"
    )
