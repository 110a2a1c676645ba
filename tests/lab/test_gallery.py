"""The notebooks as they are shipped, and how they get into a person's folder."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from tidemill.lab import gallery

NAMES = [one.name for one in gallery.notebooks()]
JUPYTER = [name for name in NAMES if name.endswith(".ipynb")]
OPEN_TO_ALL = {"tidemill", "tidemill.strategy"}
"""What a notebook may import of ours: the front door and what strategies are written with."""


def code_of(name: str) -> str:
    text = (gallery.SHIPPED / name).read_text()
    if name.endswith(".py"):
        return text
    cells = json.loads(text)["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def test_there_are_eight_and_two() -> None:
    kinds = [one.kind for one in gallery.notebooks()]
    assert (kinds.count("jupyter"), kinds.count("marimo")) == (8, 2)
    for one in gallery.notebooks():
        assert one.title
        assert not one.title.startswith("#")
        assert 20 < len(one.line) < 200, one
        assert one.needs.endswith("."), one


@pytest.mark.parametrize("name", JUPYTER)
def test_a_notebook_is_kept_without_what_a_run_leaves(name: str) -> None:
    found = json.loads((gallery.SHIPPED / name).read_text())
    assert set(found["metadata"]) == {"kernelspec", "language_info"}
    assert found["metadata"]["kernelspec"]["name"] == "tidemill"
    assert set(found["metadata"]["language_info"]) == {"name"}
    for cell in found["cells"]:
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_needs_nothing_but_the_front_door(name: str) -> None:
    for node in ast.walk(ast.parse(code_of(name))):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        ours = {module for module in modules if module.split(".")[0] == "tidemill"}
        assert ours <= OPEN_TO_ALL, f"{name} imports {ours - OPEN_TO_ALL}"


def test_what_a_person_changed_is_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, ledger = tmp_path / "notebooks", tmp_path / "shipped.json"
    assert gallery.copy(folder, ledger) == NAMES
    assert gallery.copy(folder, ledger) == []
    mine, gone, old = NAMES[:3]
    (folder / mine).write_text("mine")
    (folder / gone).unlink()
    other = folder / "other.ipynb"
    other.write_text("theirs")

    newer = tmp_path / "newer"
    newer.mkdir()
    for name in NAMES:
        text = (gallery.SHIPPED / name).read_text()
        (newer / name).write_text(text + "\n" if name in (mine, gone, old) else text)
    monkeypatch.setattr(gallery, "SHIPPED", newer)
    assert gallery.copy(folder, ledger) == [gone, old]  # the one that was let go comes back
    assert (folder / mine).read_text() == "mine"
    assert other.read_text() == "theirs"
    assert (folder / old).read_text() == (newer / old).read_text()


def test_a_file_that_was_there_before_us_is_not_ours(tmp_path: Path) -> None:
    folder, ledger = tmp_path / "notebooks", tmp_path / "shipped.json"
    folder.mkdir()
    (folder / NAMES[0]).write_text("of somebody else")
    (folder / NAMES[1]).symlink_to(tmp_path / "nowhere")
    (folder / NAMES[2]).mkdir()
    assert gallery.copy(folder, ledger) == NAMES[3:]
    ledger.write_text("[")  # what was written is forgotten, and nothing is overwritten for that
    assert gallery.copy(folder, ledger) == []
    assert (folder / NAMES[0]).read_text() == "of somebody else"
    assert not (tmp_path / "nowhere").exists()
