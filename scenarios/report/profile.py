"""The answer of `localist profile`: the ranking of heads, and the sets of heads side by side."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue
from rich.console import Group, RenderableType
from rich.text import Text

from localist_core import Capabilities
from scenarios.profiling import HeadProfile, Heads
from scenarios.report.trials import COLUMNS, cells, compact, figures, kinds_of, steering_json, titled

SHOWN = 8
"""Best and worst groups that people are shown; JSON and file hold all."""


def profile_json(found: HeadProfile) -> dict[str, JsonValue]:
    """The figures as data."""
    base = found.arms[0].trial
    return {
        "steering": steering_json(found.steering),
        "ranking": [
            {
                "heads": _listed(row.heads),
                "gain_nats": round(row.nats, 6),
                "only_here": row.only_here,
                "only_off": row.only_off,
            }
            for row in found.ranking
        ],
        "sizes": [{"groups": sized.size, "gain_nats": round(sized.nats, 6)} for sized in found.sizes],
        "helps": found.helps,
        "arms": [
            {
                "name": arm.name,
                "heads": _listed(arm.heads),
                **figures(arm.trial, base),
                "kinds": {kind.value: figures(arm.trial.of(kind), base.of(kind)) for kind in dict.fromkeys(base.kinds)},
            }
            for arm in found.arms
        ],
    }


def profile_report(core: Capabilities, source: str, found: HeadProfile) -> RenderableType:
    """The figures for people."""
    schedule, resting = found.steering.schedule, found.steering.resting
    head = Text(f"{core.name} on {source}: dial {schedule.start}, {schedule.kind}, targets {resting.value}", "bold")
    return Group(head, *_parts(found))


def _parts(found: HeadProfile) -> Iterator[RenderableType]:
    table = compact("heads (layer.head)", "gain in nats", "here / there", title="ranking, on the split for choosing")
    shown = found.ranking if len(found.ranking) <= 2 * SHOWN else (*found.ranking[:SHOWN], *found.ranking[-SHOWN:])
    for index, row in enumerate(shown):
        is_cut = len(found.ranking) > len(shown) and index == SHOWN - 1
        table.add_row(text_of(row.heads), f"{row.nats:+.4f}", f"{row.only_here} / {row.only_off}", end_section=is_cut)
    yield table
    sizes = ", ".join(f"{sized.size}: {sized.nats:+.3f}" for sized in found.sizes)
    yield Text(f"gain of the best groups together, by number, in nats: {sizes}")
    base = found.arms[0].trial
    for kind in kinds_of(base):
        part = base.of(kind) if kind else base
        table = compact("heads", "n", *COLUMNS, title=f"reported: {titled(kind, part.marks)}")
        for arm in found.arms:
            own = part if arm.trial is base else arm.trial.of(kind)
            table.add_row(arm.name, str(len(arm.heads)), *cells(own, part))
        yield table
    verdict = "" if found.helps else "; on the split for reporting it gains nothing that is not chance"
    yield Text(f"profiled: {text_of(found.chosen)}{verdict}")


def text_of(heads: Heads) -> str:
    """Heads as `layer.head`."""
    return " ".join(f"{layer}.{head}" for layer, head in heads)


def _listed(heads: Heads) -> list[JsonValue]:
    return [[layer, head] for layer, head in heads]
