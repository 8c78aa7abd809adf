"""Shared set-up of the tests: Hypothesis profiles, one thread per test process, no torch unless a test needs it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Read by OpenMP when torch is first imported: tests then never compete for cores, and sums keep their order.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Without an NVIDIA driver Triton kernels run in Triton's interpreter; read when triton is first imported.
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# A suite that is started in the background ignores Ctrl-C, and so would the processes that its tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Deterministic by default: a red test stays red. `--hypothesis-profile=search` looks for new failures.
settings.register_profile("default-local", derandomize=True, deadline=None, max_examples=50)
settings.register_profile(
    "ci", derandomize=True, deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("search", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default-local")


@pytest.fixture(autouse=True)
def _one_torch_thread() -> None:
    """Pin torch to one thread where it has been imported already; import nothing."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `gpu` where torch sees no CUDA device; torch is imported only if there is such a test."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no CUDA device: torch.cuda.is_available() is false"))
