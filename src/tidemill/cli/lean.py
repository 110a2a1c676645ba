"""Keeps out of a process what no command of ours needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder


class _NoPandas(MetaPathFinder):
    keeps_out = "pandas"
    """What needs it all the same takes this finder away (`model.calendar`)."""

    def find_spec(self, fullname: str, _path: object = None, _target: object = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is kept out of Tidemill's own processes", name="pandas")


def without_pandas(words: Sequence[str] = ()) -> None:
    """pyarrow imports pandas wherever it is installed: a second and 60 MB at the start of every part.

    For a process that is ours alone; where someone else's code runs, pandas may be theirs. A store on
    ArcticDB, named by the command's `words` or the environment, cannot do without it.
    """
    named = [*words, f"={os.environ.get('TIDEMILL_STORE_URL', '')}"]
    if not any(word.rpartition("=")[2].startswith("arctic:") for word in named):
        sys.meta_path.insert(0, _NoPandas())
