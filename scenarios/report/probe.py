"""The answer of `localist probe`: what the load-time probe saw of a model."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.table import Table

from localist_core import SharedCore
from localist_core.attending.family import Family
from scenarios.report.table import number


def probed_json(core: SharedCore) -> dict[str, Any]:
    """What was seen, as data."""
    return {
        "format": "localist-probe",
        "schema_version": 1,
        "core": asdict(core.capabilities),
        "is_chat": core.is_chat,
        **asdict(core.probed),
    }


def probed(core: SharedCore) -> Table:
    """What was seen, for people."""
    seen, family = core.probed, core.probed.family
    name = core.capabilities
    table = Table(title=f"{name.name} on {name.device}, {name.dtype}", title_justify="left", header_style="bold")
    table.add_column("")
    table.add_column("figure", overflow="fold")
    table.add_column("value", overflow="fold")
    rows = {
        "family": family.name,
        "layers": str(family.num_layers),
        "heads": str(family.num_heads),
        "heads of keys and values": str(family.num_kv_heads),
        "stock attention": seen.stock,
        "windows": windows(family),
        "soft cap of the logits": number(family.softcap),
        "attention sinks": "one for each head" if seen.has_sinks else "none",
        "positions": positions(family),
        "chat template": "yes" if core.is_chat else "none",
    }
    for index, (figure, value) in enumerate(rows.items()):
        table.add_row("model" if not index else "", figure, value, end_section=index == len(rows) - 1)
    table.add_row("probe", "calls of a layer in one forward", str(seen.calls_per_layer))
    table.add_row("", "logits at dial 0 against the stock model", f"{seen.logit_difference:.1e}")
    table.add_row("", "masses against eager attention", f"{seen.mass_difference:.1e}")
    table.add_row("", "decision when the text of a cut block changes", f"{seen.cut_difference:.1e}")
    same = {True: "yes", False: f"no: {name.batch_difference}", None: "not tried"}[name.is_batch_invariant]
    table.add_row("", "same bits alone as in a batch", same)
    return table


def windows(family: Family) -> str:
    """Sizes of the windows and how many layers have them: `512 tokens in 5 of 6 layers`."""
    sizes = sorted({window for window in family.windows if window is not None})
    if not sizes:
        return "none"
    return f"{', '.join(map(str, sizes))} tokens in {family.num_windowed} of {family.num_layers} layers"


def positions(family: Family) -> str:
    """How positions enter: `rotary (default), at most 4096 tokens`."""
    kind = f"rotary ({', '.join(family.rope_types)})" if family.rope_types else "learned or none"
    kind = f"{kind}, distance bias" if family.has_alibi else kind
    return kind if family.longest is None else f"{kind}, at most {family.longest} tokens"
