"""The pages: every link leads somewhere, every command they show exists."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tidemill import errors

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "vectors" / "README.md"])
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(#[^)]*)?\)")
COMMAND = re.compile(r"(?:^|[`\s/])tidemill ([a-z]+)", re.M)
NOT_COMMANDS = {"as", "is", "repository", "in", "import"}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, _ in LINK.findall(page.read_text()):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_commands_exist() -> None:
    shown = {word for page in PAGES for word in COMMAND.findall(page.read_text())} - NOT_COMMANDS
    said = subprocess.run(
        [sys.executable, "-m", "tidemill", "--help"], capture_output=True, text=True, check=True
    ).stdout
    known = set(re.findall(r"│ ([a-z]+) ", said)) | {
        "collector",
        "relay",
        "bridge",
        "sim",
        "recorder",
        "serve",
        "worker",
        "publisher",
        "uploader",
    }
    assert shown <= known, f"shown in the docs and unknown: {sorted(shown - known)}"


def test_every_error_code_is_on_its_page() -> None:
    classes = {error.__name__ for error in errors.CATEGORIES.values()}
    raised: set[str] = set()
    for file in (ROOT / "src" / "tidemill").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            first, name = node.args[0], ast.unparse(node.func).rpartition(".")[2]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                if name in classes:
                    raised.add(first.value)
                elif name == "unknown":
                    raised.add(f"{first.value.replace(' ', '_')}_unknown")
    assert len(raised) > 50
    page = set(re.findall(r"`([a-z_]+)`", (ROOT / "docs" / "errors.md").read_text()))
    assert raised <= page, f"raised and not on the page: {sorted(raised - page)}"
