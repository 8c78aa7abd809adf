"""The arithmetic of the GPU benchmark, and that it says in one line what it lacks."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from tests.benchmarks.roofline import (
    MACHINES,
    QWEN3_0_6B,
    Tick,
    flops,
    least_s,
    machine_named,
    percentile,
    traffic,
)

ONE_FORWARD = Tick(agents=64, fed=84, shared=512, scored=20)


def test_shape_has_the_weights_of_qwen3_0_6b() -> None:
    """596 million with the tied embedding, 440 million without (norms left out); 112 KiB of keys and values a token."""
    assert QWEN3_0_6B.body == pytest.approx(440.4e6, rel=1e-3)
    assert QWEN3_0_6B.body + QWEN3_0_6B.head == pytest.approx(596.0e6, rel=1e-3)
    assert QWEN3_0_6B.kv_bytes == 112 * 1024


def test_arithmetic_is_that_of_the_weights_where_attention_is_short() -> None:
    tick = Tick(agents=1, fed=1, shared=0, scored=0)
    assert flops(QWEN3_0_6B, tick) == pytest.approx(2 * QWEN3_0_6B.body, rel=1e-3)


def test_one_agent_is_bound_by_memory_and_64_by_arithmetic() -> None:
    """A forward for one agent reads 1.2 GB of weights: 0.37 ms on an H100."""
    machine = MACHINES["H100"]
    one = Tick(agents=1, fed=84, shared=512, scored=20)
    assert least_s(QWEN3_0_6B, one, machine) == traffic(QWEN3_0_6B, one) / machine.memory_bytes_per_s
    assert least_s(QWEN3_0_6B, one, machine) == pytest.approx(0.37e-3, rel=0.05)
    assert least_s(QWEN3_0_6B, ONE_FORWARD, machine) == flops(QWEN3_0_6B, ONE_FORWARD) / machine.flops_per_s
    assert 64 / least_s(QWEN3_0_6B, ONE_FORWARD, machine) == pytest.approx(10_900, rel=0.02)


def test_machine_is_found_by_a_part_of_its_name() -> None:
    assert machine_named("NVIDIA H100 80GB HBM3") == MACHINES["H100"]
    assert machine_named("NVIDIA GeForce RTX 4070") is None


def test_percentile_is_one_of_the_values() -> None:
    assert percentile([float(n) for n in range(1, 101)], 0.99) == 99.0
    assert percentile([5.0], 0.99) == 5.0
    assert percentile([2.0, 1.0, 3.0], 0.5) == 2.0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_benchmark_without_a_cuda_device_ends_with_one_line_and_code_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.bench_gpu"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "bench_gpu: expected a CUDA device, got none; run it on a machine with one\n"
