"""Files that tests make, and what comes of them."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import Any

from tidemill.importer import choice, piece, sniff
from tidemill.importer.preview import rows_shown
from tidemill.importer.quarantine import Quarantine
from tidemill.importer.recipe import Recipe
from tidemill.importer.source import Source, open_source

NOW = 1_900_000_000 * 10**9


def write(folder: Path, name: str, text: str | bytes) -> Path:
    """A file below the folder; one named .zip or .gz is packed."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode() if isinstance(text, str) else text
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(data))
    elif name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(path.stem + ".csv", data)
    else:
        path.write_bytes(data)
    return path


def guessed(
    path: Path, changes: dict[str, Any] | None = None, name: str | None = None
) -> tuple[Source, Recipe]:
    """The source and the recipe that is used where nobody says anything but `changes`."""
    source = open_source(path, name)
    chosen = choice.choose(sniff.sniff(source), None, changes or {})
    assert chosen.recipe is not None, (chosen.open, chosen.draft)
    return source, chosen.recipe


def read(
    path: Path, changes: dict[str, Any] | None = None, *, name: str | None = None, piece_rows: int = 1 << 18
) -> tuple[list[dict[str, Any]], dict[str, int], Recipe]:
    """Rows as JSON in the order in which they are kept, reasons of bad ones, and the recipe."""
    source, recipe = guessed(path, changes, name)
    quarantine, count = Quarantine(None), piece.Count()
    rows = [
        line
        for one in piece.pieces(source, recipe, quarantine, count, NOW, piece_rows)
        for line in rows_shown(one.rows, recipe, len(one.rows))
    ]
    assert count.rows == len(rows)
    return rows, quarantine.as_dict(), recipe
