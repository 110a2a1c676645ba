"""What a command costs before it does anything: processes start often, and people wait for the first."""

from __future__ import annotations

import subprocess
import sys


def loaded(words: str, *names: str) -> set[str]:
    """Which of the modules `names` the command line `words` has imported when it ends."""
    program = (
        "import sys; sys.argv = ['tidemill', *sys.argv[1].split()]\n"
        "from tidemill.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('loaded', *[name for name in {names!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, words], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_a_command_that_needs_no_database_or_lake_does_not_load_their_libraries(tmp_path) -> None:
    heavy = ("sqlalchemy", "pyarrow", "polars", "fastapi", "numpy", "alembic")
    assert loaded("--version", *heavy, "typer") == set()
    assert loaded(f"status --home {tmp_path}", *heavy) == set()
    assert loaded("--help", *heavy) == set()


def test_the_lake_is_read_without_pandas_though_it_is_installed(tmp_path) -> None:
    import pandas  # noqa: F401 - the point: it is there

    got = loaded(f"data ls --home {tmp_path}", "pyarrow.dataset", "pandas")
    assert got == {"pyarrow.dataset"}
