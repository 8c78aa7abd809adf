"""The tree of prompt beginnings: keys, resume points, byte budget, order of use, pins."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localist_core.blocks import Block, BlockKind, Prompt, Trust
from localist_core.prompting.encoding import Encoder
from localist_core.serving.prefix import STEP, PrefixTree, root_key, stretches_of
from tests.localist_core import tiny

ROOT = root_key("model")
ENCODER = Encoder(tiny.tokenizer())


def a_prompt(
    *, schema="act is A1 . gap speed light " * 3, goal="go", rules="forbid A1 if gap < 20 " * 14, message="go"
) -> Prompt:
    return Prompt(
        (
            Block(kind=BlockKind.SCHEMA, name="schema", text=schema),
            Block(kind=BlockKind.ROLE, name="role", text="car"),
            Block(kind=BlockKind.GOAL, name="goal", text=goal),
            Block(kind=BlockKind.RULEBOOK, name="R1", text=rules),
            Block(kind=BlockKind.MESSAGE, name="m", text=message, trust=Trust.UNTRUSTED),
            Block(kind=BlockKind.DECISION, name="act", text="act"),
        )
    )


def stretches(prompt: Prompt, root: bytes = ROOT):
    return stretches_of(prompt.blocks, ENCODER.encode(prompt), root)


def keys(*arguments, **options) -> list[bytes]:
    return [one.key for one in stretches(*arguments, **options)]


def test_prompt_is_resumed_behind_the_role_and_behind_the_rulebook() -> None:
    prompt = a_prompt()
    encoding = ENCODER.encode(prompt)
    first, second = stretches(prompt)
    assert (first.start, first.stop) == (0, encoding.span(1)[1])
    assert (second.start, second.stop) == (first.stop, encoding.span(3)[1] // STEP * STEP)
    assert (first.parent, second.parent) == (None, first.key)


def test_keys_are_equal_for_equal_beginnings_alone() -> None:
    base = keys(a_prompt())
    assert keys(a_prompt(message="stop stop")) == base
    assert keys(a_prompt(goal="stop"))[0] == base[0]
    assert keys(a_prompt(goal="stop"))[1] != base[1]
    assert not set(keys(a_prompt(schema="act is A2 . gap speed light " * 3))) & set(base)
    assert not set(keys(a_prompt(), root_key("other model"))) & set(base)
    assert root_key("a", "bc") != root_key("ab", "c")


def test_same_tokens_as_another_kind_have_another_key() -> None:
    prompt = a_prompt()
    schema, role, *others = prompt.blocks
    as_role = Prompt((replace(role, name="schema", text=schema.text), replace(role, name="role"), *others))
    assert ENCODER.encode(as_role).ids == ENCODER.encode(prompt).ids
    assert keys(as_role)[0] != keys(prompt)[0]


def test_nothing_untrusted_stands_before_a_resume_point() -> None:
    schema = Block(kind=BlockKind.SCHEMA, name="schema", text="gap " * 40, trust=Trust.UNTRUSTED)
    prompt = Prompt((schema, Block(kind=BlockKind.DECISION, name="act", text="act")))
    assert stretches(prompt) == ()


def test_short_beginning_is_not_worth_a_pass() -> None:
    assert stretches(a_prompt(schema="gap", rules="go")) == ()
    (only,) = stretches(a_prompt(schema="gap"))
    assert only.start == 0


def a_tree(capacity: int = 100) -> PrefixTree[str]:
    tree: PrefixTree[str] = PrefixTree(capacity)
    assert tree.add(b"a", None, "A", 30)
    assert tree.add(b"b", None, "B", 30)
    assert tree.add(b"a1", b"a", "A1", 30)
    return tree


def test_what_was_used_longest_ago_goes_first() -> None:
    tree = a_tree()
    assert tree.add(b"c", None, "C", 30)
    assert [key in tree for key in (b"a", b"b", b"a1", b"c")] == [True, False, True, True]
    assert (tree.num_bytes, len(tree)) == (90, 3)


def test_parent_stays_while_it_has_children_and_is_used_with_them() -> None:
    tree = a_tree()
    assert tree.find(b"b") == "B"
    assert tree.find(b"a1") == "A1"
    assert tree.add(b"c", None, "C", 40)
    assert b"b" not in tree
    assert tree.add(b"d", None, "D", 30)
    assert [key in tree for key in (b"a", b"a1", b"c", b"d")] == [True, False, True, True]


def test_pinned_node_stays_and_what_cannot_fit_beside_it_is_not_kept() -> None:
    tree = a_tree()
    with tree.pinned([b"a1", b"nowhere"]):
        assert not tree.add(b"c", None, "C", 60)
        assert b"a1" in tree
        assert b"b" not in tree
    assert tree.add(b"c", None, "C", 60)
    assert tree.pin(b"c")
    tree.clear()
    assert list(tree._nodes) == [b"c"]
    tree.unpin(b"c")
    tree.clear()
    assert (len(tree), tree.num_bytes) == (0, 0)
    assert not tree.pin(b"c")
    tree.add(b"c", None, "C", 1)
    with pytest.raises(KeyError):
        tree.unpin(b"c")


def test_child_of_a_parent_that_is_gone_is_not_kept() -> None:
    tree: PrefixTree[str] = PrefixTree(100)
    assert not tree.add(b"a1", b"a", "A1", 10)
    assert not PrefixTree(0).add(b"a", None, "A", 1)
    with pytest.raises(ValueError, match="0 bytes"):
        PrefixTree(-1)


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["add", "find", "pin", "unpin"]), st.integers(0, 7), st.integers(1, 40)), max_size=60
)


@given(OPERATIONS)
def test_budget_and_family_ties_hold_whatever_happens(operations) -> None:
    """Key n hangs from n // 2; 0 and 1 are first stretches."""
    tree: PrefixTree[int] = PrefixTree(100)
    pins = dict.fromkeys(range(8), 0)
    for verb, n, size in operations:
        key, parent = bytes([n]), None if n < 2 else bytes([n // 2])
        if verb == "add":
            tree.add(key, parent, n, size)
        elif verb == "find":
            assert tree.find(key) in (n, None)
        elif verb == "pin":
            pins[n] += tree.pin(key)
        elif pins[n]:
            tree.unpin(key)
            pins[n] -= 1
        assert tree.num_bytes == sum(node.num_bytes for node in tree._nodes.values()) <= 100
        assert all(node.parent is None or node.parent in tree for node in tree._nodes.values())
        for known, node in tree._nodes.items():
            assert node.children == sum(other.parent == known for other in tree._nodes.values())
        assert all(bytes([m]) in tree for m, count in pins.items() if count)
