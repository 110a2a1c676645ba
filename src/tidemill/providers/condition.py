"""Which trades of US stocks count in bars: the rules of the two tapes for each sale condition.

A bar leaves out a trade that may not set a high or a low: its price was made elsewhere, at another time or
for so few shares that the tape does not let it speak. It also leaves out what is no trade of its own, an
official price or a corrected close that adds no volume. A trade out of sequence may set a high or a low and
so counts, although it does not become the last. Form T, a trade before or after the session, may set prices
in its own hours and counts too.

Sources: the tables of consolidated processing in the UTP Data Feed Services specification and the CTS output
specification, with the numbers Polygon gives their codes:
https://polygon.io/glossary/us/stocks/conditions-indicators; Form T:
https://massive.com/knowledge-base/article/does-a-form-t-trade-update-a-pre-market-minute-bars-high-low-open-and-close
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """What a trade of this condition may change in the consolidated tape."""

    high_low: bool
    last: bool
    """False also where it may only as the first or only trade of a day."""
    volume: bool

    @property
    def irregular(self) -> bool:
        """Whether bars leave it out."""
        return not (self.high_low and self.volume)


_ALL = Rule(True, True, True)
_LATE = Rule(True, False, True)
_VOLUME = Rule(False, False, True)
_NOTHING = Rule(False, False, False)
_RESTATED = Rule(True, True, False)

UTP: dict[str, Rule] = {
    "@": _ALL,  # regular
    "A": _ALL,  # acquisition
    "B": _ALL,  # bunched
    "C": _VOLUME,  # cash
    "D": _ALL,  # distribution
    "E": _ALL,  # placeholder; automatic execution on the other tape
    "F": _ALL,  # intermarket sweep
    "G": _LATE,  # bunched, sold
    "H": _VOLUME,  # price variation
    "I": _VOLUME,  # odd lot
    "K": _ALL,  # rule 155
    "L": _ALL,  # sold last
    "M": _NOTHING,  # official close of a market centre
    "N": _VOLUME,  # next day
    "O": _ALL,  # opening
    "P": _LATE,  # prior reference price
    "Q": _NOTHING,  # official open of a market centre
    "R": _LATE,  # seller
    "S": _ALL,  # split
    "T": _ALL,  # Form T: in its own hours
    "U": _VOLUME,  # extended hours, out of sequence
    "V": _VOLUME,  # contingent
    "W": _VOLUME,  # average price
    "X": _ALL,  # cross
    "Y": _ALL,  # yellow flag
    "Z": _LATE,  # out of sequence
    "1": _ALL,  # stopped stock
    "4": _LATE,  # derivatively priced
    "5": _ALL,  # reopening
    "6": _ALL,  # closing
    "7": _VOLUME,  # qualified contingent
    "8": _ALL,  # placeholder
    "9": _RESTATED,  # corrected consolidated close
}
"""Tape C, by the letters of the UTP plan."""

CTA: dict[str, Rule] = UTP | {"B": _VOLUME}
"""Tapes A and B: the same letters but one, which is the average price there."""

POLYGON: dict[int, str] = {
    0: "@", 1: "A", 2: "W", 3: "E", 4: "B", 5: "G", 7: "C", 8: "6", 9: "X", 10: "4", 11: "D", 12: "T",
    13: "U", 14: "F", 15: "M", 16: "Q", 20: "N", 21: "H", 22: "P", 23: "K", 25: "O", 27: "1",
    28: "5", 29: "R", 30: "L", 33: "Z", 34: "S", 36: "Y", 37: "I", 38: "9", 52: "V", 53: "7",
}  # fmt: skip
"""Polygon's number of a condition: its letter on tape C. Numbers without a letter are told and change
nothing."""

_UNDONE = {7, 8, 10, 11, 12}
"""Corrections of a trade, as the consolidated tapes number them: wrong, cancelled, and the records that say
so."""


def irregular(letters: Iterable[str], tape: str = "C") -> bool:
    """Whether bars leave out a trade with these conditions. `tape` is A, B or C; unknown letters change
    nothing."""
    rules = UTP if tape == "C" else CTA
    return any(letter in rules and rules[letter].irregular for letter in letters)


def irregular_numbers(numbers: Iterable[int], correction: int = 0) -> bool:
    """The same by Polygon's numbers, of a trade that was corrected in this way; 0 is not."""
    return correction in _UNDONE or irregular(POLYGON[number] for number in numbers if number in POLYGON)
