"""Every notebook runs as it is shipped, on a real platform as `make up` starts it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_client import KernelManager
from nbclient import NotebookClient

from tests.system.harness import Platform, running
from tidemill.lab import gallery

pytestmark = pytest.mark.timeout(300)
CELL_S = 200


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    place = Path(tempfile.mkdtemp(prefix="tm-nb-"))
    with running(place / "home", rate=300) as found:
        found.wait_trades("sim-kraken", 50)
        yield found
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def kernel(platform: Platform) -> Iterator[KernelManager]:
    """One kernel for all, one after the other: to import everything anew would take longer than to run it."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(
        env={**os.environ, "TIDEMILL_HOME": str(platform.home.path)}, cwd=str(platform.home.path)
    )
    yield manager
    manager.shutdown_kernel(now=True)


@pytest.mark.parametrize("name", [one.name for one in gallery.notebooks() if one.kind == "jupyter"])
def test_it_runs(name: str, kernel: KernelManager) -> None:
    notebook = nbformat.read(gallery.SHIPPED / name, as_version=4)
    nbformat.validate(notebook)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))  # no name of the notebook before
    NotebookClient(notebook, km=kernel, timeout=CELL_S).execute()
    ran = [cell for cell in notebook.cells[1:] if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in ran)
    printed = "".join(
        out.get("text", "") for cell in ran for out in cell.outputs if out.output_type == "stream"
    )
    if name == "5-engines.ipynb":
        assert "equal: True" in printed
    if name == "7-live-against-backtest.ipynb":
        assert "bars differ" in printed
    if name == "8-machine-learning.ipynb":
        assert "folds at random: R² +" in printed  # the leak looks splendid
        assert "walked forward:  R² -" in printed  # and is nothing


@pytest.mark.parametrize("name", [one.name for one in gallery.notebooks() if one.kind == "marimo"])
def test_a_marimo_notebook_runs(name: str, platform: Platform, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, str(gallery.SHIPPED / name)],
        env={**os.environ, "TIDEMILL_HOME": str(platform.home.path)}, cwd=tmp_path,
        capture_output=True, text=True, timeout=CELL_S, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
