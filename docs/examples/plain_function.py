"""A plain function that proposes: `python docs/examples/plain_function.py`. It is run on a thread, so it may block."""

from __future__ import annotations

import asyncio

from car import RULES, STOP, Car, Drive

from symbolic import Facts, Feedback, Guard, Guarded, Ladder


def hasty(facts: Facts, feedback: Feedback[Drive] | None) -> Drive:
    """Goes, until it is told what is allowed."""
    return Drive(manoeuvre="go") if feedback is None or not feedback.allowed else feedback.allowed[-1]


def drive(car: Car) -> Guarded[Drive]:
    """One guarded decision."""
    guard = Guard(RULES, Ladder(safe_stop=STOP, asks=1), deadline_s=0.25)
    return asyncio.run(guard.act(car, hasty))


if __name__ == "__main__":
    done = drive(Car(gap_m=12.5, light="red"))
    print(done.action.manoeuvre, done.rung)
