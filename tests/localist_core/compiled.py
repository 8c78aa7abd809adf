"""Compiles the Triton kernel for GPUs that are not here: python -m tests.localist_core.compiled [NUM]; JSON lines.

Triton brings its own assembler, so that a kernel can be compiled, though not run, on any Linux machine. A process of
its own, because a process that interprets kernels cannot compile them.
"""

from __future__ import annotations

import json
import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from localist_core.attending.kernel import _part, steps

POINTERS = {"hidden": "*u8", **dict.fromkeys(("starts", "ends", "firsts", "lasts"), "*i32")}
POINTERS |= dict.fromkeys(("outputs", "L", "inside", "L_span"), "*fp32")
NUMBERS = dict.fromkeys(("scale", "softcap"), "fp32")
SIZES = {"bf16": 2, "fp32": 4}


def compiled(arch: int, dtype: str, width: int, queries: int, *, has_cap: bool) -> dict[str, int | str]:
    """Bytes of the machine code and of shared memory for one variant."""
    tile, keys, padded = steps(queries, width, SIZES[dtype])
    constants = {"HAS_CAP": has_cap, "IS_WIDE": False, "TILE": tile, "KEYS": keys, "WIDTH": padded}
    values = dict.fromkeys(("query", "key", "value"), f"*{dtype}")
    types = dict.fromkeys(_part.arg_names, "i32") | POINTERS | NUMBERS | values
    types |= dict.fromkeys(constants, "constexpr")
    source = ASTSource(_part, signature=types, constexprs=constants)
    made = triton.compile(source, target=GPUTarget("cuda", arch, 32), options={"enable_fp_fusion": True})
    return {
        "variant": f"sm_{arch} {dtype} {width}",
        "code": len(made.asm["cubin"]),
        "shared": made.metadata.shared,
    }


VARIANTS = (
    (80, "bf16", 128, False),
    (90, "bf16", 128, False),
    (90, "bf16", 256, True),
    (80, "fp32", 16, False),
    (80, "fp32", 128, False),
)
"""Architecture, number format, width, whether logits are capped."""

if __name__ == "__main__":
    for arch, dtype, width, has_cap in VARIANTS[: int(sys.argv[1]) if len(sys.argv) > 1 else None]:
        sys.stdout.write(json.dumps(compiled(arch, dtype, width, 32, has_cap=has_cap)) + "\n")
        sys.stdout.flush()
