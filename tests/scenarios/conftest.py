from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A core with random weights: it has read nothing, and everything works with it."""
    import torch

    from localist_core.model import LocalistForCausalLM, small_config
    from localist_core.tokenizer import build_tokenizer

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "tiny"
    tokenizer = build_tokenizer(("stop", "go", "cart"), merges=4)
    tokenizer.save_pretrained(path)
    shape = small_config(len(tokenizer), layers=2, width=32, heads=4, hidden=64, block_width=1)
    LocalistForCausalLM(shape).save_pretrained(path)
    return str(path)
