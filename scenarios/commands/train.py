"""`localist train`: make a core on the generated curriculum, or an adapter of an existing model."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenarios.commands.arguments import Exit, json_argument, print_json, seed_argument
from scenarios.config import ConfigError

if TYPE_CHECKING:
    from scenarios.commands.arguments import Commands

SIZES = ("small", "medium", "large", "huge")
"""Named in `scenarios.teach`, which loads torch."""


def add(commands: Commands) -> None:
    """Declare the command."""
    train = commands.add_parser("train", help="train a core on the generated curriculum, or an adapter of a model")
    shape = train.add_mutually_exclusive_group()
    shape.add_argument("--smoke", action="store_true", help="a tiny model for some steps: shows that the path works")
    shape.add_argument(
        "--size",
        choices=SIZES,
        default="small",
        help="1.2, 5.3, 17.5 or 27.6 million parameters; all but small want a GPU (default small, the core that ships)",
    )
    shape.add_argument(
        "--adapt", type=Path, metavar="BASE", help="train an adapter of this model, which stays as it is"
    )
    train.add_argument(
        "--text", type=Path, nargs="+", default=[], metavar="FILE", help="text for --adapt to learn from"
    )
    train.add_argument("--config", type=Path, metavar="FILE", help="settings in JSON: see docs/training.md")
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the model goes")
    train.add_argument("--resume", action="store_true", help="go on from the last checkpoint in DIR")
    train.add_argument("--minutes", type=float, metavar="M", help="stop after M minutes of wall-clock time")
    seed_argument(train)
    train.add_argument("--device", default="cpu", help="cpu or cuda:N (default cpu)")
    train.add_argument("--plot", action="store_true", help="also draw the history, as DIR/history.png")
    json_argument(train)
    train.set_defaults(command=_train)


def _train(arguments: argparse.Namespace) -> Exit:
    from scenarios.adapt import adapt
    from scenarios.report.plot import draw, load_library
    from scenarios.report.training import TrainingReport
    from scenarios.teach import teach

    if arguments.plot:
        load_library()
    minutes = math.inf if arguments.minutes is None else arguments.minutes
    if not minutes > 0:
        raise ConfigError(f"expected more than 0 minutes, got `{arguments.minutes}`; correct --minutes")
    if arguments.text and arguments.adapt is None:
        raise ConfigError("expected --adapt beside --text, got none; a core that is made anew learns the curriculum")
    common: dict[str, Any] = {
        "settings": arguments.config,
        "resume": arguments.resume,
        "minutes": minutes,
        "seed": arguments.seed,
        "device": arguments.device,
        "report": TrainingReport(json_lines=arguments.json).show,
    }
    if arguments.adapt is not None:
        is_complete = adapt(arguments.adapt, arguments.out, text=arguments.text, **common)
    else:
        is_complete = teach(arguments.out, is_smoke=arguments.smoke, size=arguments.size, **common)
    if arguments.plot and is_complete:
        draw(arguments.out, arguments.out / "history.png")
    if arguments.json:
        print_json({"is_complete": is_complete, "model": str(arguments.out)})
    else:
        state = "trained" if is_complete else "stopped before the end; go on with --resume"
        print(f"{state}: {arguments.out}")
    return Exit.PASS if is_complete else Exit.INCONCLUSIVE
