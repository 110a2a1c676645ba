"""What is read from a strategy's text, whatever the text is."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies.test_library import HOME
from tidemill.errors import UsageError
from tidemill.strategies import description, library

HEAD = "from tidemill.strategy import *\n"
GOOD = (
    HEAD
    + '''
class Mine(Strategy):
    """What it does.

    And why.
    """

    title = "My own"
    author: str = "me"
    fast = Param(20, low=2, high=200, help="bars")
    risk: Param[float] = Param(default=0.5, low=0.0, high=1.0, step=-0.1)
    side = Param("long", choices=("long", "both"))
    late = Param(2 * 3)

    def signal(self, bars):
        return bars.close
'''
)


def test_a_text_says_what_it_is() -> None:
    found = description.read(GOOD)
    assert (found.class_name, found.title, found.author, found.kind) == ("Mine", "My own", "me", "signal")
    assert found.text == "What it does.\n\nAnd why."
    assert [one["name"] for one in found.params] == ["fast", "risk", "side"]
    assert found.params[0] == {
        "name": "fast", "kind": "int", "default": 20, "low": 2, "high": 200, "step": None, "choices": [],
        "help": "bars",
    }  # fmt: skip
    (fault,) = found.faults
    assert (fault.line, fault.column) == (14, 12)
    assert "late" in str(fault)
    assert found.values({"fast": "30"}) == {"fast": 30, "risk": 0.5, "side": "long"}
    for wrong, code in (({"fast": 1}, "parameter_invalid"), ({"fats": 1}, "parameter_unknown")):
        with pytest.raises(UsageError) as refused:
            found.values(wrong)
        assert refused.value.code == code


def test_of_our_own_the_text_says_what_the_class_says() -> None:
    for entry in library.entries(HOME):
        kind = library.load(entry)
        assert entry.about.faults == ()
        assert entry.about.class_name == kind.__name__
        assert list(entry.about.params) == [one.json() for one in kind.declared().values()]
        assert entry.about.kind == ("signal" if kind.by_signal() else "event")
        assert (entry.about.title, entry.about.author) == (kind.title, kind.author)
        assert len(entry.about.text) > 40


@pytest.mark.parametrize(
    ("text", "says", "line"),
    [
        ("x = (1\n", "was never closed", 1), ("x = 1\n  y = 2", "unexpected indent", 2),
        ("", "no class that is a Strategy", None), ("class A: pass", "no class", None),
        ("a\x00b", "null", None), ("-" * 5_000 + "1", "nested", None), ("x=" + "9" * 5_000, "limit", 1),
        (HEAD + "class A(Strategy): pass", "neither signal() nor on_bar()", 2),
        (HEAD + "class A(Strategy):\n def signal(self, b): 1\n def on_bar(self, b): 1", "both", 2),
        (HEAD + "class A(Strategy):\n stop = Param(1)\n def signal(self, b): 1", "already", 3),
        (HEAD + "class A(Strategy):\n p = Param(1, low=2)\n def signal(self, b): 1", "is not an int", 3),
        (HEAD + "class A(Strategy):\n p = Param()\n def signal(self, b): 1", "no default", 3),
        (HEAD + "class A(Strategy):\n p = Param(1e999)\n def signal(self, b): 1", "not finite", 3),
        (HEAD + "class A(Strategy):\n p = Param(9007199254740993)\n def signal(self, b): 1", "2^53", 3),
        (HEAD + "class A(Strategy):\n p = Param(1, lo=2)\n def signal(self, b): 1", "lo", 3),
        (HEAD + "class A(Strategy):\n def signal(self, b): 1\nclass B(A): pass", "which of A, B", None),
        ("#" * 300_000, "longer than 256 KiB", None),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(text: str, says: str, line: int | None) -> None:
    found = description.read(text)
    assert says in found.faults[0].message
    assert found.faults[0].line == line
    refused = description.refusal(found, "mine")
    assert refused is not None
    assert refused.code == "strategy_invalid"
    assert description.refusal(description.Description(), "mine") is None


def test_parameters_of_a_base_in_the_file_come_first() -> None:
    text = HEAD + (
        "class Base(Strategy):\n a = Param(1)\n b = Param(2)\n def on_bar(self, bar): pass\n"
        "class Mine(Base):\n b = Param(3)\n c = Param(4)\nplugin = Mine\n"
    )
    found = description.read(text)
    assert (found.class_name, found.kind, found.faults) == ("Mine", "event", ())
    assert [(one["name"], one["default"]) for one in found.params] == [("a", 1), ("b", 3), ("c", 4)]


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)).map(repr),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: "[" + ", ".join(parts) + "]"),
)
words = st.sampled_from(["", "default=", "low=", "high=", "step=", "choices=", "help=", "x="])
calls = st.lists(st.tuples(words, values).map("".join), max_size=4).map(lambda parts: ", ".join(parts))


@settings(max_examples=200, deadline=None)
@given(parts=st.lists(calls, max_size=3), doc=st.text(max_size=30).map(repr), junk=st.text(max_size=10))
def test_any_text_has_a_description_that_json_takes(parts: list[str], doc: str, junk: str) -> None:
    lines = [f" p{at} = Param({call})" for at, call in enumerate(parts)]
    whole = HEAD + "\n".join(
        ["class A(Strategy):", f" {doc}", f" title = {doc}", *lines, " def signal(s, b): 1"]
    )
    for text in (whole, whole + junk, junk):
        found = description.read(text)
        assert found.params or found.faults or not parts or text is junk
        told = orjson.dumps([found.params, found.text, found.title, [one.message for one in found.faults]])
        assert b"\\u0000" not in told
        found.values({})
