"""The notebooks that come with Tidemill: what they are about, and their copies in a person's folder."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SHIPPED = Path(__file__).parent / "notebooks"
Kind = Literal["jupyter", "marimo"]
_NEEDS = re.compile(r"\*?Needs: (.+?)\*?$", re.MULTILINE)


@dataclass(frozen=True)
class Notebook:
    """One notebook as it is shipped."""

    name: str
    """Its file: `2-lake.ipynb`."""
    kind: Kind
    title: str
    line: str
    """What one learns from it, in a sentence."""
    needs: str
    """What must be there before it runs."""


@functools.cache
def notebooks() -> tuple[Notebook, ...]:
    """All of them, by number."""
    files = [path for path in SHIPPED.iterdir() if path.suffix in (".ipynb", ".py")]
    return tuple(_described(path) for path in sorted(files, key=lambda path: (path.suffix, path.name)))


def _described(path: Path) -> Notebook:
    """Title, sentence and needs stand in the notebook: in its first cell, or the module's docstring."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        kind: Kind = "marimo"
        text = ast.get_docstring(ast.parse(text)) or ""
    else:
        kind = "jupyter"
        text = "".join(json.loads(text)["cells"][0]["source"])
    title, line = [part.strip() for part in text.split("\n\n")][:2]
    needs = _NEEDS.search(text)
    return Notebook(
        path.name, kind, title.lstrip("# "), " ".join(line.split()), needs[1].strip() if needs else ""
    )


def copy(folder: Path, ledger: Path) -> list[str]:
    """Brings the notebooks into `folder` and returns the names of those that it wrote.

    One that is missing is written; one that is as an earlier Tidemill wrote it becomes the new one; one that
    a person has changed, or only run and saved, is theirs. `ledger` remembers what was written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    ours = _remembered(ledger)
    written = []
    for one in notebooks():
        body = (SHIPPED / one.name).read_bytes()
        there = folder / one.name
        known = ours.get(str(there))
        if there.exists() or there.is_symlink():
            if not there.is_file() or _digest(there.read_bytes()) not in (known, _digest(body)):
                continue
            if there.read_bytes() == body:
                ours[str(there)] = _digest(body)
                continue
        _replace(there, body)
        ours[str(there)] = _digest(body)
        written.append(one.name)
    ledger.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _replace(ledger, json.dumps(ours, indent=1).encode())
    return written


def _remembered(ledger: Path) -> dict[str, str]:
    """Digest by path of what was written before; a file that cannot be read remembers nothing."""
    try:
        found = json.loads(ledger.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _replace(path: Path, body: bytes) -> None:
    """Whole or not at all: a notebook that is cut off does not open."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_bytes(body)
    new.replace(path)
