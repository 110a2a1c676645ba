"""docs/errors.md: every code that the service or its database can give is on it, under its category."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tidemill import errors

ROOT = Path(__file__).parents[2]
CLASSES = {
    name: value.category
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.TidemillError)
}


def raised() -> Iterator[tuple[str, str, str]]:
    """(category, code, place) of every error made in the service and its database."""
    for folder in ("service", "metadata"):
        for file in (ROOT / "src" / "tidemill" / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if (
                    not isinstance(node, ast.Call)
                    or not node.args
                    or not isinstance(node.args[0], ast.Constant)
                ):
                    continue
                name = (
                    node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                )
                place = f"{file.name}:{node.lineno}"
                if name in CLASSES:
                    yield CLASSES[name], str(node.args[0].value), place
                elif name == "unknown":
                    yield "not_found", f"{node.args[0].value}_unknown", place


def test_every_code_is_described_under_its_category() -> None:
    sections = re.split(r"^## ", (ROOT / "docs" / "errors.md").read_text(), flags=re.MULTILINE)
    described = {
        section.split("\n", 1)[0]: set(re.findall(r"`([a-z_]+)`", section)) for section in sections[1:]
    }
    assert set(described) == set(errors.CATEGORIES)
    found = list(raised())
    assert len(found) > 40
    missing = [(category, code, place) for category, code, place in found if code not in described[category]]
    assert missing == []


def test_categories_have_the_codes_of_the_table() -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    for name, kind in errors.CATEGORIES.items():
        row = re.search(rf"^\| {name} \| ([^|]*) \| ([^|]*) \|", text, re.MULTILINE)
        assert row is not None, name
        assert str(kind.default_status) in row[1], name
        assert str(kind.exit_code) in re.findall(r"\d+", row[2]), name
