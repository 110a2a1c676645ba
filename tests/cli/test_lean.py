"""pandas stays out of our processes, unless their store is ArcticDB's."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

TRY = "import sys; from tidemill.cli import lean; lean.without_pandas(sys.argv[1:]); import pandas"


@pytest.mark.parametrize(
    ("words", "store", "let_in"),
    [
        ([], "", False),
        ([], "postgresql://localhost/x", False),
        ([], "arctic://lmdb/srv/x", True),
        (["--store", "arctic://lmdb/srv/x"], "", True),
        (["--store=arctic://lmdb/srv/x"], "", True),
    ],
)
def test_pandas(words: list[str], store: str, let_in: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRY, *words],
        env={**os.environ, "TIDEMILL_STORE_URL": store},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert (done.returncode == 0) == let_in, done.stderr
