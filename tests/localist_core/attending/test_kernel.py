"""The Triton kernel beyond its contract: it compiles for real GPUs, and says what it lacks on a CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="triton is not installed; it comes with torch for CUDA, or with xgrammar")

from localist_core.attending.kernel import steps

SMALLEST_SHARED = 99 * 1024
"""Bytes of shared memory that a block may have on the smallest GPUs with bfloat16 (sm_86, sm_89)."""


def without_interpreter(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=False, env=environment, timeout=110
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="triton's assembler is for Linux")
def test_kernel_compiles_for_gpus_that_are_not_here() -> None:
    done = without_interpreter("-m", "tests.localist_core.compiled", "2")
    assert done.returncode == 0, done.stderr[-2000:]
    variants = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(variants) == 2
    assert all(one["code"] > 1000 and one["shared"] <= SMALLEST_SHARED for one in variants)


def test_kernel_on_a_cpu_without_the_interpreter_is_an_error_that_says_what_to_do() -> None:
    code = (
        "import torch; from localist_core.attending.backend import choose\n"
        "try: choose(torch.device('cpu'), torch.float32, 'triton')\n"
        "except RuntimeError as error: print(error)"
    )
    assert without_interpreter("-c", code).stdout.startswith(
        "expected the triton back end to work on `cpu`, got: expected a CUDA device for the triton back end, got `cpu`"
    )


@pytest.mark.parametrize(("queries", "tile"), [(1, 16), (17, 32), (400, 32)])
def test_tile_is_a_power_of_two_that_tensor_cores_take(queries, tile) -> None:
    assert steps(queries, 64, 2)[0] == tile


@pytest.mark.parametrize(
    ("width", "size", "keys"), [(8, 4, 64), (64, 4, 32), (128, 4, 16), (80, 2, 64), (128, 2, 64), (256, 2, 32)]
)
def test_wide_heads_take_fewer_keys_a_step(width, size, keys) -> None:
    assert steps(16, width, size)[1] == keys
