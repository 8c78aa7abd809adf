"""From a directory to a model with its tokenizer, and what identifies them; nothing is downloaded."""

from __future__ import annotations

import hashlib
import json
import platform
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

import localist_core.model  # noqa: F401  # makes the family `localist` known to transformers
from localist_core.errors import ModelMissingError, RequestError, UnsupportedModelError
from localist_core.learning.adapters import ADAPTER, attach_from, base_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SHIPPED = Path(__file__).parents[1] / "weights"
"""Where the core that ships lies."""

Dtype = Literal["auto", "float32", "bfloat16"]


def load(directory: Path, dtype: torch.dtype | str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model and tokenizer that transformers saved in a directory, or the base that an adapter there names, with it.

    Args:
        directory: a local one.
        dtype: of the weights; `auto` = as saved.

    Raises:
        ModelMissingError: no complete model and tokenizer there.
        UnsupportedModelError: no causal language model.
    """
    if (directory / ADAPTER).is_file():
        loaded_base = load(base_of(directory), dtype)
        attach_from(loaded_base[0], directory)
        return loaded_base
    if not (directory / "config.json").is_file():
        raise ModelMissingError(f"expected a model directory with a config.json, got `{directory}`")
    bars: Any = transformers_logging
    had_bars = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            directory, dtype=dtype, local_files_only=True, trust_remote_code=False, output_loading_info=True
        )
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )
    except OSError as error:
        raise ModelMissingError(
            f"expected a complete model in `{directory}`, got {_first_line(error)}; save model and tokenizer there"
        ) from error
    except (ValueError, KeyError, ImportError) as error:
        family = json.loads((directory / "config.json").read_text()).get("model_type")
        raise UnsupportedModelError(
            f"expected a causal language model in `{directory}`, got family `{family}`: {_first_line(error)}"
        ) from error
    finally:
        if had_bars:
            bars.enable_progress_bar()
    model, info = cast("tuple[PreTrainedModel, dict[str, set[str]]]", loaded)
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelMissingError(
            f"expected all weights in `{directory}`, got none for {len(missing)}, such as `{missing[0]}`"
        )
    return model, tokenizer


def tokenizer_in(directory: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model's directory.

    Raises:
        ModelMissingError: none there.
    """
    try:
        found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelMissingError(
            f"expected a tokenizer in `{directory}`, got {_first_line(error)}; save model and tokenizer there"
        ) from error
    return found


def own_config(model: PreTrainedModel) -> None:
    """Give the model a configuration of its own: two models built from one would switch each other's attention."""
    copies: dict[int, Any] = {}
    for module in model.modules():
        config = getattr(module, "config", None)
        if isinstance(config, transformers.PreTrainedConfig):
            setattr(module, "config", deepcopy(config, copies))  # noqa: B010  # typed as a tensor or module otherwise


def dtype_on(device: torch.device, dtype: Dtype) -> torch.dtype | str:
    """The number format to load: `auto` is float32 on the CPU and the saved one on a GPU."""
    if dtype == "auto" and device.type != "cpu":
        return "auto"
    return torch.bfloat16 if dtype == "bfloat16" else torch.float32


def device_of(name: str) -> torch.device:
    """The device of this name; `auto` = a GPU where torch sees one.

    Raises:
        RequestError: no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RequestError(f"expected the device auto, cpu or cuda:N, got `{name}`") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise RequestError(f"expected one of {torch.cuda.device_count()} CUDA devices, got `{name}`; use cpu")
    return device


def fingerprint(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, backend: str = "packed") -> str:
    """`MODEL-PLATFORM`: hashes of weights, configuration and vocabulary, and of what computes with them.

    Args:
        model: on its device.
        tokenizer: of the model.
        backend: name of what attends for the decision rows.
    """
    of_model = hashlib.sha256(json.dumps(model.config.to_diff_dict(), sort_keys=True, default=str).encode())
    of_model.update(json.dumps(sorted(tokenizer.get_vocab().items())).encode())
    for name, weight in sorted(model.state_dict().items()):
        of_model.update(name.encode())
        of_model.update(weight.detach().contiguous().flatten().view(torch.uint8).cpu().numpy().tobytes())
    device = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else platform.machine()
    parts = [torch.__version__, transformers.__version__, device, str(model.dtype)]
    parts += [] if backend == "packed" else [backend]
    return f"{of_model.hexdigest()[:16]}-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:8]}"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
