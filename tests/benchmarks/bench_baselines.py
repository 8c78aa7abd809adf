"""What the junction does to simple policies, on the same seeds as a run: python -m tests.benchmarks.bench_baselines.

    python -m tests.benchmarks.bench_baselines --arm idle --first-seed 1000 --episodes 200
    localist run intersection --seed 1000 --episodes 200            # the core on the same seeds

Arms: idle, slower, random, random behind the shield (`shield`), the most wanted compliant action (`mask`: what a rule
mask over a perfect proposal executes), and the same without messages (`quiet`). Intervals are 95 % Clopper-Pearson.
"""

from __future__ import annotations

import argparse
import json

from scenarios.baselines import Policy, always, evaluate, greedy_compliant, shielded_uniform, uniform
from scenarios.scenario import Role, load


def main() -> None:
    """Run the arms and print one JSON line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="intersection")
    parser.add_argument("--arm", action="append", choices=("idle", "slower", "random", "shield", "mask", "quiet"))
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--episodes", type=int, default=200)
    arguments = parser.parse_args()
    scenario = load(arguments.scenario)
    role = next(iter(scenario.roles.values()))
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.episodes)
    for arm in arguments.arm or ("idle", "slower", "random", "shield", "mask"):
        table = evaluate(scenario.world, policy_of(arm, role), seeds, speaks=arm != "quiet")
        collided, caused = table.bounds(table.collided), table.bounds(table.caused)
        record = {
            "arm": arm,
            "first_seed": seeds.start,
            **table.to_json(),
            "collided_95": [round(collided.low, 4), round(collided.high, 4)],
            "episodes_caused": sum(table.caused),
            "caused_95": [round(caused.low, 4), round(caused.high, 4)],
        }
        print(json.dumps(record), flush=True)


def policy_of(arm: str, role: Role) -> Policy:
    """The policy of an arm; idle is the action one place above the safe stop in the junction."""
    stop = role.rules.actions.index(role.safe_stop)
    policies: dict[str, Policy] = {
        "idle": always(min(stop + 1, len(role.rules.actions) - 1)),
        "slower": always(stop),
        "random": uniform,
        "shield": shielded_uniform(role.rules, role.safe_stop),
    }
    return policies.get(arm) or greedy_compliant(role.rules, role.safe_stop)


if __name__ == "__main__":
    main()
