from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from localist_core.blocks import BlockKind
from localist_core.serving.pointer import Examined, PointerProfile, name_pointer, profile
from localist_core.serving.shared import SharedCore
from tests.localist_core import tiny


def a_core(pointer: list[int] | None = None) -> SharedCore:
    model = tiny.model("localist")
    model.config.pointer_head = pointer
    return SharedCore(model, tiny.tokenizer(), name="localist")


def test_pointers_are_the_masses_of_every_head_at_every_option() -> None:
    request = tiny.request()
    masses = a_core().pointers(request)
    rules = request.prompt.names(BlockKind.RULEBOOK)
    assert masses.shape[2:] == (len(request.actions), len(rules))
    assert bool((masses >= 0).all())
    assert bool((masses.sum(-1) <= 1 + 1e-5).all())


@pytest.mark.parametrize("head", [(0, 0), (1, 1)])
def test_citation_with_pointer_is_where_that_head_rests_most(head: tuple[int, int]) -> None:
    request = tiny.request()
    core = a_core(list(head))
    rests_on = core.pointers(request)[head[0], head[1]].argmax(-1).tolist()
    rules = request.prompt.names(BlockKind.RULEBOOK)
    citations = core.decide([request])[0].citations
    assert citations is not None
    assert all(cited in (None, rules[place]) for cited, place in zip(citations, rests_on, strict=True))


def test_whether_anything_is_cited_does_not_depend_on_the_pointer() -> None:
    request = tiny.request()
    said = [core.decide([request])[0].citations for core in (a_core(), a_core([0, 0]), a_core([1, 1]))]
    assert len({tuple(cited is None for cited in citations or ()) for citations in said}) == 1


def test_profile_counts_forbidden_options_alone_and_finds_the_head_that_is_always_right() -> None:
    core, request = a_core(), tiny.request()
    masses = core.pointers(request)
    wanted = masses[1, 1].argmax(-1).tolist()
    forbidding = (*(frozenset({place}) for place in wanted[:-1]), frozenset[int]())
    found = profile(core, [Examined(request=request, forbidding=forbidding)])
    assert found.num_options == len(request.actions) - 1
    assert found.share[1][1] == 1.0
    right = (masses.argmax(-1)[..., :-1] == torch.tensor(wanted[:-1])).double().mean(-1)
    assert found.share == tuple(tuple(round(value, 6) for value in heads) for heads in right.tolist())


def test_profile_without_forbidden_options_says_so() -> None:
    request = tiny.request()
    examined = Examined(request=request, forbidding=(frozenset(),) * len(request.actions))
    with pytest.raises(ValueError, match="expected requests with forbidden options, got none; examine more"):
        profile(a_core(), [examined])


def test_name_pointer_survives_loading(tmp_path: Path) -> None:
    directory = tiny.save("localist", tmp_path / "core")
    name_pointer(directory, PointerProfile(share=((0.1, 0.2), (0.9, 0.3)), num_options=10))
    assert json.loads((directory / "config.json").read_text())["pointer_head"] == [1, 0]
    assert SharedCore.load(directory)._citer.pointer == (1, 0)
