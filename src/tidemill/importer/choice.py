"""The recipe that a file is read with: the guess, or a saved one, with what somebody has said over it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tidemill.errors import ConflictError
from tidemill.importer import recipe as recipes
from tidemill.importer.recipe import Recipe
from tidemill.importer.sniff import Guess


@dataclass(frozen=True)
class Choice:
    """What is settled, and what is not."""

    recipe: Recipe | None
    """None while something is open."""
    draft: dict[str, Any]
    open: list[str]


def choose(guess: Guess, saved: Mapping[str, Any] | None, changes: Mapping[str, Any]) -> Choice:
    """`saved` is a recipe as JSON, `changes` some of its fields. Raises `ConflictError` where the saved one
    is for other columns, `UsageError` where a change does not fit."""
    draft, still = dict(guess.draft), [name for name in guess.open if name not in changes]
    if saved is not None:
        made = recipes.of(saved)
        names = tuple(column.name for column in guess.columns)
        if made.columns != names or made.shape != guess.shape:
            raise ConflictError(
                "recipe_misfit",
                f"the recipe is for {made.shape} files with the columns {', '.join(made.columns)[:200]};"
                f" this {guess.shape} file has {', '.join(names)[:200]}",
                hint="leave the recipe out to have the layout guessed",
            )
        draft, still = made.as_dict(), []
        if not made.instrument and "symbol" not in made.fields and "instrument" not in changes:
            symbol = str(guess.draft.get("instrument", "")).rpartition(".")[0]
            draft["instrument"] = f"{symbol}.{changes.get('venue', made.venue)}" if symbol else ""
            still = [] if symbol else ["instrument"]
    elif "venue" in changes and "instrument" not in changes and draft["instrument"]:
        draft["instrument"] = f"{draft['instrument'].rpartition('.')[0]}.{changes['venue']}"
    draft |= changes
    return Choice(None if still else recipes.of(draft), draft, still)


def reusable(recipe: Recipe, guess: Guess, changes: Mapping[str, Any]) -> Recipe:
    """As it is saved: an instrument that came from a file's name is the next file's own."""
    derived = not changes.get("instrument") and recipe.instrument == guess.draft.get("instrument")
    return recipe.with_(instrument="") if derived else recipe
