"""Which strategies there are: a name each, a fault where one has one, and nothing of a stranger imported."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from tidemill.errors import NotFoundError, UsageError
from tidemill.home import Home
from tidemill.metadata.strategy import Stored, Version
from tidemill.strategies import description, library, template
from tidemill.strategy import Strategy

HOME = Home(Path("/nonexistent"))
OURS = [
    "bollinger_reversion", "donchian_breakout", "macd_trend", "momentum_rotation", "pairs_spread",
    "rsi_reversion", "sma_cross",
]  # fmt: skip
MINE = template.text("mine", event=False)


def copied(strategy: Strategy) -> object:
    """As another process gets it."""
    return pickle.loads(pickle.dumps(strategy))  # noqa: S301 - our own bytes


@pytest.fixture
def home(tmp_path: Path) -> Home:
    library.folder(Home(tmp_path)).mkdir()
    return Home(tmp_path)


def write(home: Home, name: str, text: str | bytes) -> Path:
    path = library.folder(home) / f"{name}.py"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def stored(name: str, code: str) -> Stored:
    return Stored(name, 3, None, 1, 2, Version(name, 3, "in words", "somebody", code, "", {}, 2))


def test_ours_are_files_of_the_package() -> None:
    assert [(one.name, one.origin, one.trusted) for one in library.entries(HOME)] == [
        (name, "builtin", True) for name in OURS
    ]
    for entry in library.entries(HOME):
        kind = library.load(entry)
        assert issubclass(kind, Strategy)
        assert kind.name() == entry.name
        assert isinstance(copied(kind()), kind)


def test_a_fault_in_one_file_hides_no_other(home: Home) -> None:
    write(home, "mine", MINE)
    write(home, "broken", "x = (1")
    write(home, "binary", b"\xff\xfe\x00")
    write(home, "Odd-Name", MINE)
    write(home, "sma_cross", MINE)
    write(home, "_helper", "not python (")
    (library.folder(home) / "gone.py").symlink_to("nowhere.py")
    found = {
        (one.name, one.origin): one for one in library.entries(home, [stored("mine", MINE), stored("x", "")])
    }
    faults = {key: one.about.faults[0].message for key, one in found.items() if one.about.faults}
    assert {name for name, _ in found} - set(OURS) == {"mine", "broken", "binary", "Odd-Name", "gone", "x"}
    assert set(faults) == {
        ("broken", "folder"), ("binary", "folder"), ("Odd-Name", "folder"), ("sma_cross", "folder"),
        ("gone", "folder"), ("mine", "database"), ("x", "database"),
    }  # fmt: skip
    assert "never closed" in faults["broken", "folder"]
    assert "taken by a strategy of the package" in faults["sma_cross", "folder"]
    assert "taken by a strategy of the folder" in faults["mine", "database"]
    assert library.find(home, "sma_cross").origin == "builtin"
    assert library.find(home, "mine", [stored("mine", "")]).origin == "folder"
    with pytest.raises(NotFoundError) as unknown:
        library.find(home, "sma_cros")
    assert (unknown.value.code, unknown.value.hint.split(",")[0]) == (
        "strategy_unknown",
        "nearest: sma_cross",
    )


def test_a_file_is_imported_as_it_is_now(home: Home) -> None:
    path = write(home, "mine", MINE)
    assert library.load(library.find(home, "mine")).declared()["period"].default == 50
    path.write_text(MINE.replace("Param(50", "Param(60"))
    kind = library.load(library.file(path))
    assert kind.declared()["period"].default == 60
    assert isinstance(copied(kind()), kind)
    assert not (path.parent / "__pycache__").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1\nraise ValueError('no luck')", "line 2: ValueError: no luck"),
        ("import nothing_like_it", "line 1: Mod"),
        ("x = (1", "line 1: '(' was never closed"), ("raise SystemExit", "SystemExit"),
        ("1 / 0", "line 1: ZeroDivisionError"), ("x = 1", "0 classes"), ("plugin = 3", "0 classes"),
        ("from tidemill.strategy import *\nclass A(Strategy): 1\nclass B(A): 1", "2 classes"),
        ("from tidemill.strategy import *\nclass A(Strategy):\n  stop = Param(1)", "line 2: A.stop cannot"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported_says_where(home: Home, text: str, says: str) -> None:
    write(home, "mine", text)
    with pytest.raises(UsageError) as refused:
        library.load(library.find(home, "mine"))
    assert refused.value.code == "strategy_invalid"
    assert says in refused.value.message


def test_code_of_the_database_is_never_imported(home: Home) -> None:
    entry = library.find(home, "evil", [stored("evil", "import sys\nsys.evil = 1\n" + MINE)])
    assert (entry.description, entry.author, entry.about.kind) == ("in words", "somebody", "signal")
    assert not entry.trusted
    with pytest.raises(UsageError) as refused:
        library.load(entry)
    assert refused.value.code == "strategy_untrusted"
    assert not hasattr(sys, "evil")


@pytest.mark.parametrize("event", [False, True])
@pytest.mark.parametrize("name", ["mine", "a_longer_name_2", "x1"])
def test_a_template_is_a_strategy_without_a_fault(home: Home, name: str, event: bool) -> None:
    write(home, name, template.text(name, event=event))
    entry = library.find(home, name)
    assert entry.about.faults == ()
    assert entry.about.kind == ("event" if event else "signal")
    assert library.load(entry).declared().keys() == {one["name"] for one in entry.about.params}
    assert description.refusal(entry.about, name) is None
