"""What would come of a file: its first rows as they would be kept, and the problems seen so far."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidemill import wire
from tidemill.importer import choice, number, piece, quarantine, sniff
from tidemill.importer import rows as checked
from tidemill.importer import source as sources
from tidemill.importer.raw import Bad
from tidemill.importer.recipe import Recipe
from tidemill.importer.rows import Rows
from tidemill.importer.source import Source

ROWS_SHOWN = 20
MEASURED_BYTES = 256 << 20


def preview(
    path: Path,
    name: str,
    now: int,
    *,
    member: str | None = None,
    saved: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """As JSON: `columns`, `recipe` or what is `open` of it, `draft`, `notes`, `confidence`, and of the first
    batch `rows` as they would be kept, `bad` ones, and `sample`: how many of each, from when to when."""
    source = sources.open_source(path, name, member)
    source.measure(MEASURED_BYTES)
    guess = sniff.sniff(source)
    chosen = choice.choose(guess, saved, changes or {})
    shown: dict[str, Any] = {
        "name": source.label,
        "bytes": source.size,
        "shape": guess.shape,
        "packed": source.packed,
        "columns": [vars(column) for column in guess.columns],
        "recipe": chosen.recipe.as_dict() if chosen.recipe else None,
        "draft": chosen.draft,
        "confidence": guess.confidence,
        "notes": guess.notes,
        "open": chosen.open,
        "rows": [],
        "bad": [],
        "sample": None,
    }
    if chosen.recipe is not None:
        shown |= _sample(source, chosen.recipe, now)
        shown["reusable"] = choice.reusable(chosen.recipe, guess, changes or {}).as_dict()
    return shown


def _sample(source: Source, recipe: Recipe, now: int) -> dict[str, Any]:
    day = piece.day_of(source, recipe)
    raw = next(piece.raws(source, recipe), None)
    if raw is None:
        return {"sample": {"rows": 0, "bad": 0, "instruments": [], "start": None, "end": None}}
    found, bad, skipped = checked.convert(recipe, raw, day, now)
    reasons = quarantine.Quarantine(None)
    reasons.add(bad)
    codes = sorted(set(found.code.tolist()))
    return {
        "rows": rows_shown(found, recipe, ROWS_SHOWN),
        "bad": [_shown(one) for one in bad[:ROWS_SHOWN]],
        "sample": {
            "rows": len(found), "bad": len(bad), "skipped": skipped, "reasons": reasons.as_dict(),
            "instruments": sorted({found.names[code] for code in codes})[:100],
            "start": str(found.ts.min()) if len(found) else None,
            "end": str(found.ts.max()) if len(found) else None,
        },
    }  # fmt: skip


def rows_shown(found: Rows, recipe: Recipe, most: int) -> list[dict[str, Any]]:
    """Rows as JSON: times as text of ns, decimals as text."""
    some = found.take(slice(0, most))
    shown = []
    for at in range(len(some)):
        line: dict[str, Any] = {"line": int(some.lines[at]), "instrument": some.names[some.code[at]]}
        line["ts"] = str(some.ts[at])
        for role, column in some.numbers.items():
            there = column.why[at] == number.FINE
            line[role] = wire.text(int(column.mantissa[at]), int(column.scale[at])) if there else None
        if recipe.kind == "trades":
            if some.aggressor is not None:
                line["aggressor"] = wire.AGGRESSORS[int(some.aggressor[at])]
            if some.irregular is not None:
                line["irregular"] = bool(some.irregular[at])
            if some.id is not None and (some.id[at] >= 0 or "id" in some.words):
                line["id"] = str(some.id[at]) if some.id[at] >= 0 else some.words["id"][at] or None
        shown.append(line)
    return shown


def _shown(bad: Bad) -> dict[str, Any]:
    return {"line": bad.line, "reason": bad.reason, "text": bad.text[:200]}
