"""A dial of all rows: every row from the first target on is steered, in every family, alone as in a batch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import DynamicCache

from localist_core.attending.plan import Plan, plan_of, prefix_of
from localist_core.attending.probe import run
from localist_core.attending.row import Row
from localist_core.choice import trie_of
from localist_core.dial import Dial, Status
from localist_core.errors import DialError, RequestError
from localist_core.prompting.encoding import Encoder
from localist_core.serving.shared import SharedCore
from tests.localist_core import more_families, tiny

NEAR = frozenset({"R1", "R2"})
FAMILIES = ("localist", "llama", "mistral", "gemma2", "gpt2", "gpt_oss")
EVERY = Dial(0.9, NEAR, scope="all")


@pytest.fixture(scope="module", params=FAMILIES)
def core(request) -> SharedCore:
    return SharedCore(tiny.model(request.param), tiny.tokenizer(), name=request.param)


@pytest.fixture(scope="module")
def llama() -> SharedCore:
    return SharedCore(tiny.model("llama"), tiny.tokenizer(), name="llama")


def row_of(dial: Dial, **parts: object) -> Row:
    prompt = tiny.prompt(**parts)
    return Row(prompt=prompt, encoding=Encoder(tiny.tokenizer()).encode(prompt), dial=dial)


def planned(core: SharedCore, *rows: Row, **where: object) -> Plan:
    return plan_of(rows, stock=core._stock, num_layers=3, pad_id=0, device=torch.device("cpu"), keeps=True, **where)


@torch.inference_mode()
def scored(core: SharedCore, plan: Plan, cache: object = None) -> torch.Tensor:
    return run(core._model, plan, cache)


def test_dial_holds_in_every_layer_and_says_so(core) -> None:
    off, on = core.decide([tiny.request(Dial(0.0, NEAR)), tiny.request(EVERY)])
    assert min(after for _, after in on.trace.layers) >= 0.9 - 1e-5
    assert {status for heads in on.trace.statuses for status in heads} <= {Status.APPLIED, Status.MET}
    assert on.probabilities != off.probabilities
    decision_rows = core.decide([tiny.request(Dial(0.9, NEAR))])[0]
    assert on.probabilities != decision_rows.probabilities


def test_rows_before_the_first_target_stay_and_those_behind_it_change(core) -> None:
    """Seen in the keys of the next layer: they follow from the outputs of the rows."""
    rows = row_of(EVERY), row_of(Dial(0.0, NEAR))
    steered, plain = (planned(core, row) for row in rows)
    for plan in (steered, plain):
        scored(core, plan)
    (body,) = steered.bodies
    assert rows[0].prompt.blocks[rows[0].encoding.block_ids[body.steered]].name == "R1"
    ours, theirs = (plan.kept[1][0] for plan in (steered, plain))
    torch.testing.assert_close(ours[:, :, : body.steered], theirs[:, :, : body.steered], atol=1e-4, rtol=1e-4)
    changed = (ours - theirs).abs().amax((0, 1, 3))[body.steered : len(rows[0].encoding.ids)] > 1e-3
    assert bool(changed.any())


def test_row_alone_is_the_row_in_a_batch_bit_for_bit(core) -> None:
    """Beside a neighbour under another dial of all rows, and one that steers the decision rows alone."""
    rows = [
        row_of(dial, observation=text)
        for dial, text in (
            (EVERY, "gap is 10"),
            (replace(EVERY, value=0.4, kind="odds"), "gap"),
            (Dial(0.9, NEAR), "gap"),
        )
    ]
    together = scored(core, planned(core, *rows))
    for row, ours in zip(rows, together, strict=True):
        alone = scored(core, planned(core, row))[0]
        assert torch.equal(ours[: row.num_decision_rows], alone[: row.num_decision_rows])


def test_prompt_fed_in_parts_is_the_prompt_fed_whole(core) -> None:
    """The second part steers rows that come behind keys of the first, which are steered too."""
    row = row_of(EVERY)
    whole = scored(core, planned(core, row))
    rows = row.num_decision_rows
    for half in (row.encoding.decision_from - 6, row.encoding.decision_from):
        cache = DynamicCache()
        first = planned(core, replace(row, until=half), side="left")
        scored(core, first, cache)
        plan = planned(core, replace(row, cached=half), cached=first.ids.shape[1], side="left")
        torch.testing.assert_close(scored(core, plan, cache)[0, :rows], whole[0, :rows], atol=2e-4, rtol=1e-4)


def test_prompt_behind_a_prefix_of_its_own_is_the_prompt_fed_whole(core) -> None:
    """The prefix is never attended to apart: rows behind it are steered over its keys too."""
    row = row_of(EVERY)
    whole, half, rows = scored(core, planned(core, row)), row.encoding.decision_from - 6, row.num_decision_rows
    first = planned(core, replace(row, until=half))
    scored(core, first)
    plan = planned(core, replace(row, cached=half), prefix=prefix_of(first, half))
    torch.testing.assert_close(scored(core, plan)[0, :rows], whole[0, :rows], atol=2e-4, rtol=1e-4)


def test_one_pass_and_scores_give_the_same() -> None:
    """Mistral is Llama with a window; one that holds the whole prompt hides nothing, and yet is no pass of runs."""
    models = [tiny.model("llama"), tiny.model("mistral")]
    models[1].load_state_dict(models[0].state_dict())
    for layer in models[1].model.layers:
        layer.self_attn.sliding_window = 512
    models[1].config.sliding_window = 512
    fast, slow = (SharedCore(model, tiny.tokenizer(), name="one") for model in models)
    rows = row_of(EVERY), row_of(replace(EVERY, heads=frozenset({(0, 1), (1, 0), (2, 3)}), kind="odds"))
    plans = planned(fast, *rows), planned(slow, *rows)
    ours, theirs = scored(fast, plans[0]), scored(slow, plans[1])
    runs = [[sight.runs is not None for sight in plan.sights.values()] for plan in plans]
    assert runs == [[True], [False]]
    torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-4)


def test_values_wider_than_keys_go_by_their_scores() -> None:
    """Torch's kernel wants equal widths; DeepSeek's latent attention has others."""
    model = more_families.model("deepseek_v3", **more_families.PASSING["deepseek_v3"])
    core = SharedCore(model, tiny.tokenizer(), name="deepseek_v3")
    (choice,) = core.decide([tiny.request(EVERY)])
    assert min(after for _, after in choice.trace.layers) >= 0.9 - 1e-5


def test_heads_that_are_not_steered_keep_their_bits(llama) -> None:
    """With heads of the last layer alone, keys and values of all layers are those of the stock model."""
    some = replace(EVERY, heads=frozenset({(2, 1)}))
    plain, steered = (planned(llama, row_of(dial)) for dial in (Dial(0.0, NEAR), some))
    logits = [scored(llama, plan) for plan in (plain, steered)]
    for layer in range(3):
        assert torch.equal(plain.kept[layer][0], steered.kept[layer][0])
    assert not torch.equal(*logits)
    assert steered.measured.statuses[2, 0].tolist() == [0, 2, 0, 0]


def test_dial_zero_of_all_rows_is_the_stock_model_bit_for_bit(llama) -> None:
    off = planned(llama, row_of(Dial(0.0, NEAR, scope="all")))
    assert off.bodies == ()
    assert torch.equal(scored(llama, off), scored(llama, planned(llama, row_of(Dial.off()))))


def test_action_trie_behind_a_steered_prompt(core) -> None:
    """Labels of several tokens are scored as if each were asked alone."""
    if core.capabilities.cites:
        return
    trie = trie_of([(5, 6), (5, 7), (8, 6)], end_id=None)
    row = row_of(EVERY)
    with_trie = scored(core, planned(core, replace(row, trie=trie)))
    without = scored(core, planned(core, row))
    rows = row.num_decision_rows
    torch.testing.assert_close(with_trie[0, :rows], without[0, :rows], atol=2e-4, rtol=1e-4)


def test_evidence_is_a_pass_at_dial_zero_of_its_own(core) -> None:
    off, on = core.decide([tiny.request(Dial(0.0, NEAR)), tiny.request(EVERY, evidence=True)])
    assert on.trace.is_raw_from_dial_zero
    assert on.trace.raw == pytest.approx(off.trace.raw, abs=2e-6)
    with pytest.raises(RequestError, match="no twin beside a dial of all rows"):
        replace(row_of(EVERY), has_twin=True)


def test_hard_cut_of_all_rows_does_not_read_untrusted_text(core) -> None:
    every = replace(EVERY, value=1.0)
    one, other = (core.decide([tiny.request(every, message=text)])[0] for text in ("car says go", "stop " * 9))
    assert one.probabilities == other.probabilities


def test_row_out_of_reach_of_every_target_is_an_error() -> None:
    mistral = SharedCore(tiny.model("mistral"), tiny.tokenizer(), name="mistral")
    far = Dial(0.5, frozenset({"goal", "R2"}), scope="all")
    with pytest.raises(DialError, match="every row from the first target on to see a token of the targets R2 goal"):
        mistral.decide([tiny.request(far, rules=2, observation="gap is 10 and light is red and speed is 20")])
