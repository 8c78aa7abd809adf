"""Which rule the core says forbids an action: read off the decision rows at the options, one for each action."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from localist_core.blocks import BlockKind
from localist_core.core import Request
from localist_core.errors import RequestError
from localist_core.serving.scoring import Scored, finite_logits

Word = Callable[[str], int | None]
"""The one token that a word is; None if it is several or unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Citer:
    """Reads citations of a core that was trained to cite."""

    word: Word
    ok: int
    """The token that says that no rule forbids the action."""
    pointer: tuple[int, int] | None
    """Layer and head that rest on the forbidding rule; None = what the model says next decides."""

    def citations(self, request: Request, scored: Scored) -> tuple[str | None, ...]:
        """For each action the rule of the prompt, or none, that the model names at its slot in the options.

        Whether any rule forbids the action is what the model says next: `ok`, or some rule. Which one it is, the
        pointer head shows where one is known: the rule on which it rests most.

        Raises:
            RequestError: an action that is no word of the options block.
            NumericsError: inf or NaN came out of the model.
        """
        names = scored.row.prompt.names(BlockKind.RULEBOOK)
        anchors = [self.word(name) for name in names]
        tokens = [self.ok, *(token for token in anchors if token is not None)]
        rows = option_rows(request, scored, self.word)
        flat = finite_logits(request, scored, [row for row in rows for _ in tokens], tokens * len(rows))
        said = torch.tensor(flat).view(len(rows), len(tokens))
        if not names or len(tokens) <= len(names):
            return (None,) * len(rows)  # a rule whose name is no token cannot be cited, so nothing can
        is_forbidden = (said[:, 1:].logsumexp(1) > said[:, 0]).tolist()
        chosen = said[:, 1:].argmax(1)
        if self.pointer is not None:
            layer, head = self.pointer
            chosen = scored.heads[layer, head, rows][:, rule_blocks(scored)].argmax(1)
        return tuple(names[int(c)] if bad else None for bad, c in zip(is_forbidden, chosen, strict=True))


def masses_at_options(request: Request, scored: Scored, word: Word) -> Tensor:
    """Where every head rests at the options: (layer, head, action, rule) masses before the dial, in float32.

    Rules are those of the prompt's rulebook, in order.

    Raises:
        RequestError: an action that is no word of the options block.
    """
    return scored.heads[:, :, option_rows(request, scored, word)][..., rule_blocks(scored)].cpu()


def rule_blocks(scored: Scored) -> list[int]:
    """Indices of the rulebook's blocks."""
    return [index for index, block in enumerate(scored.row.prompt.blocks) if block.kind is BlockKind.RULEBOOK]


def option_rows(request: Request, scored: Scored, word: Word) -> list[int]:
    """The decision row of each action: its slot in the options block.

    Raises:
        RequestError: an action that is no word of the options block.
    """
    prompt, encoding = scored.row.prompt, scored.row.encoding
    slots: dict[int, int] = {}
    for index in range(encoding.decision_from, len(encoding.ids)):
        if prompt.blocks[encoding.block_ids[index]].kind is BlockKind.OPTIONS:
            slots.setdefault(encoding.ids[index], index - encoding.decision_from)
    words = [word(action) for action in request.actions]
    wanted = [None if token is None else slots.get(token) for token in words]
    if None in wanted:
        missing = request.actions[wanted.index(None)]
        raise RequestError(f"expected every action as a word of the options block, got no `{missing}` there")
    return [row for row in wanted if row is not None]
