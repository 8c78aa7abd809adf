"""Names for generated domains, in two lists without a common word: one to train on, one to examine with."""

from __future__ import annotations

import random

_TRAINED = """
    speed gap light lane brake yield merge stop slow keep fast turn left right signal queue clear block rate level
    pressure valve pump open close hold heat cool fan motor torque angle depth height weight load volume flow
    charge cell battery grid phase fault alarm reset start pause resume send drop accept reject wait retry read
    write lock key user role token quota limit count size page cache disk port route node link ping delay loss
    north south east west up down climb descend bank pitch roll yaw fuel tank wing flap gear door seat belt crew
    guest room bed floor lift green amber red blue white black low mid high dry wet ice snow rain wind fog day
    night dawn dusk old new warm cold soft hard near far early late idle busy free full empty ready armed safe ward
    nurse order stock price bid ask trade buy sell margin credit debit branch teller vault audit note draft memo
    paper print scan sort pack ship dock crane truck rail
"""
TRAINED = tuple(_TRAINED.split())
"""Words that training names are made of."""

_HELD_OUT = """
    glucose insulin bolus basal dose infusion sepsis lactate oxygen saturation ventilator intubate sedate titrate
    taper callsign heading squawk runway taxiway holding altitude separation vector cleared hedge leverage
    collateral liquidate exposure volatility settle escrow reactor coolant scram moderator turbine condenser
    harvest irrigate fertilise seedling orchard furnace quench anneal alloy slag ladle kiln glaze tundra glacier
    crevasse belay rappel sonar ballast periscope surface dive torpedo lichen spore mycelium enzyme plasmid primer
    assay centrifuge pipette quorum ballot tally verdict bail
"""
HELD_OUT = tuple(_HELD_OUT.split())
"""Words that only held-out names are made of."""


class Names:
    """Draws names from one of the two lists; in training, also made-up ones."""

    def __init__(self, rng: random.Random, *, held_out: bool, is_short: bool = False) -> None:
        self._rng = rng
        self._words = HELD_OUT if held_out else TRAINED
        self._is_short = is_short

    def word(self) -> str:
        """One word of the list; in training sometimes a made-up one, so that spelling means nothing."""
        if self._words is TRAINED and self._rng.random() < 0.2:
            return self._letters(2, 6)
        return self._rng.choice(self._words)

    def one(self) -> str:
        """One name: a word, or two joined by `_`; of two letters where names are to be short."""
        if self._is_short:
            return self._letters(2, 2)
        return self.word() if self._rng.random() < 0.7 else f"{self.word()}_{self.word()}"

    def _letters(self, fewest: int, most: int) -> str:
        return "".join(self._rng.choices("abcdefghijklmnoprstuvwxyz", k=self._rng.randint(fewest, most)))

    def some(self, count: int) -> tuple[str, ...]:
        """That many different names that are valid identifiers."""
        found: dict[str, None] = {}
        while len(found) < count:
            found.setdefault(self.one())
        return tuple(found)
