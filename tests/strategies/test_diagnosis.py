"""Marks in a text: none in good ones, and of each kind the one that was planted, at its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.home import Home
from tidemill.strategies import library, template
from tidemill.strategies.diagnosis import CLOSE_BYTES_MAX, PROBLEMS_MAX, deciding_line, diagnose

GOOD = """
from decimal import Decimal

from tidemill.strategy import Market, Param, Signal, Strategy, switch, when

SHARE = 0.5


def half(share: float) -> float:
    return share / 2


class Base(Strategy):
    period = Param(20, low=2, high=50)

    def share(self) -> float:
        return half(SHARE)


class Mine(Base):
    def signals(self, market: Market) -> dict[str, Signal]:
        self.names = [name for name in market]
        found = {}
        for name, bars in market.items():
            if len(self.names) > 1 and (total := len(self.names)):
                lines = bars.macd(fast=12)
                on = lines.macd.crosses_above(lines["signal"]) & (bars.bollinger(20, 2).upper > bars.close)
                found[name] = when(on, self.share() / total, switch(on, ~on))
        try:
            Decimal("1")
        except ArithmeticError as error:
            print(error, *(lambda each: [each + one for one in (1, 2)])(3))
        return found


plugin: type[Strategy] = Mine
"""
HEAD = "from tidemill.strategy import Bars, Param, Signal, Strategy, when\n\n\n"
BODY = "class Mine(Strategy):\n    fast = Param(3, low=2, high=9)\n\n"
BODY += "    def signal(self, bars: Bars) -> Signal:\n"


def places(code: str) -> list[tuple[str, str]]:
    """Code and marked text of each mark of one line."""
    lines = code.splitlines()
    found = []
    for one in diagnose(code):
        assert one.line == one.end_line
        raw = lines[one.line - 1].encode("utf-16-le")
        found.append((one.code, raw[2 * (one.column - 1) : 2 * (one.end_column - 1)].decode("utf-16-le")))
    return found


@pytest.mark.parametrize("name", library.ours())
def test_ours_have_no_mark(name: str) -> None:
    assert diagnose(library.find(Home(Path("/nonexistent")), name).source) == []


def test_good_ones_have_no_mark() -> None:
    assert diagnose(GOOD) == []
    assert diagnose(template.text("mine", event=True)) == []


@pytest.mark.parametrize(
    ("line", "code", "marked"),
    [
        ("return whn(bars.close > 1, 1.0, 0.0)", "name_unknown", "whn"),
        ("return [one for one in self.fast if two]", "name_unknown", "two"),
        ("'£😀'; return bars.closs * self.fast", "indicator_unknown", "closs"),
        ("return bars.sma(self.fats)", "attribute_unknown", "fats"),
        ("return bars.macd(quick=3).signal", "parameter_unknown", "quick=3"),
        ("return bars.sma(0)", "parameter_invalid", "0"),
        ("return bars.sma(3, 4)", "parameter_invalid", "bars.sma(3, 4)"),
        ("return bars.macd().histo", "output_unknown", "histo"),
        ("return bars.sma(3).upper", "output_unknown", "upper"),
        ("return bars.close.shift(-1)", "lookahead", "bars.close.shift(-1)"),
        ("return 1.0 if bars.close > bars.open else 0.0", "signal_invalid", "bars.close > bars.open"),
        ("return bars.close > 1 and self.fast", "signal_invalid", "bars.close > 1"),
    ],
)
def test_a_mark_is_where_it_belongs(line: str, code: str, marked: str) -> None:
    text = f"{HEAD}{BODY}        {line}\n"
    assert (code, marked) in places(text)
    assert {found for found, _ in places(text)} <= {code, "import_unused"}


def test_imports() -> None:
    text = "import os\nfrom tidemill.strategy import Parm\nimport nowhere_at_all\n" + HEAD + BODY
    text += "        return when(bars.close > Parm(3), nowhere_at_all.x, 0.0)\n"
    assert places(text) == [
        ("import_unused", "os"), ("import_unknown", "Parm"), ("import_unknown", "nowhere_at_all"),
    ]  # fmt: skip


def test_faults_of_the_whole() -> None:
    assert [one.code for one in diagnose("x = (1\n")] == ["syntax"]
    assert [one.code for one in diagnose("x = 1\n")] == ["strategy_invalid"]
    assert [one.code for one in diagnose("")] == ["strategy_invalid"]
    assert diagnose("(" * 9_000)[0].code == "syntax"


def test_it_is_bounded() -> None:
    many = HEAD + BODY + "        return " + " + ".join(f"n{i}" for i in range(600)) + "\n"
    assert len(diagnose(many)) == PROBLEMS_MAX
    long = many + "#" * CLOSE_BYTES_MAX
    assert [one.code for one in diagnose(long)] == ["text_long"]


def test_where_it_decides() -> None:
    assert GOOD.splitlines()[(deciding_line(GOOD) or 0) - 1].strip().startswith("def signals")
    assert deciding_line("(") is None


@settings(max_examples=60, deadline=None)
@given(
    st.text(alphabet=st.sampled_from("abx =:()[]\n.,+\"'\\#défor in if class lambda:=\t1😀"), max_size=200)
)
def test_any_text_has_marks_within_it(text: str) -> None:
    for one in diagnose(text + "\nclass A(Strategy): ..."):
        assert 1 <= one.line <= one.end_line <= len((text + "\n.").splitlines()) + 1
        assert one.column >= 1
