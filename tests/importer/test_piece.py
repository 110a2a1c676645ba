"""Files as pieces: sorted, each row once, bad ones told with line and reason, the same whatever the size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.importer.place import NOW, guessed, read, write
from tidemill.errors import DataQualityError, TidemillError, UsageError
from tidemill.importer import choice, piece, recipe, sniff
from tidemill.importer.quarantine import Quarantine
from tidemill.importer.source import open_source

HEAD = "time,open,high,low,close,volume\n"


def bars(count: int, start: int = 0) -> list[str]:
    return [
        f"{1_700_000_000 // 60 * 60 + 60 * at},{at}.5,{at + 1}.25,{at},{at + 1},7"
        for at in range(start, start + count)
    ]


BAD = [
    ("1700000040,NaN,2,1,2,1", "open: not finite"),
    ("1700000040,1,2,1,inf,1", "close: not finite"),
    ("1700000040,1,1,2,1,1", "high below low"),
    ("1700000040,9,2,1,2,1", "open not between low and high"),
    ("1700000040,1,2,1,3,1", "close not between low and high"),
    ("1700000040,1,2,1,2,-1", "volume: below zero"),
    ("1700000040,1,2,1,,1", "close: missing"),
    ("1700000040,1,2,1,2", "5 cells, not 6"),
    ('1700000040,1,2,1,2,"1', "its quotes do not close"),
    ("1700000041,1,2,1,2,1", "time: no start of an interval of 1m"),
    ("soon,1,2,1,2,1", "time: none that can be read, or not between the years 1710 and 2230"),
    ("4000000020,1,2,1,2,1", "time: in the future"),
    ("1700000040,1,99999999999999999999,1,2,1", "high: more than 18 digits"),
    (
        "1700000040,0.000000000000000001,9223372036854775807,0,2,1",
        "open, high, low, close: more than 18 digits",
    ),
    ("1700000040,1,2,1,two,1", "close: no number"),
    ("1700000040,\0,2,1,2,1", "a NUL"),
]


@pytest.mark.parametrize(("line", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_a_bad_row_is_told_and_costs_no_other(tmp_path: Path, line: str, reason: str) -> None:
    good = bars(4)
    path = write(tmp_path, "AAPL.csv", HEAD + "\n".join([*good[:2], line, *good[2:]]) + "\n")
    rows, bad, _ = read(path, {"interval": "1m", "time": "epoch_s", "instrument": "AAPL.x"})
    assert bad == {reason: 1}
    assert [row["line"] for row in rows] == [2, 3, 5, 6]


def test_the_quarantine_has_line_reason_and_text(tmp_path: Path) -> None:
    path = write(tmp_path, "AAPL.csv", HEAD + "\n".join([*bars(2), "soon,1,2,1,2,1"]) + "\n\xff\xfe\n")
    source, made = guessed(path, {"interval": "1m", "time": "epoch_s"})
    with Quarantine(tmp_path / "q" / "rows.jsonl") as quarantine:
        list(piece.pieces(source, made, quarantine, piece.Count(), NOW))
    lines = [json.loads(line) for line in (tmp_path / "q" / "rows.jsonl").read_text().splitlines()]
    assert [line["line"] for line in lines] == [4, 5]
    assert lines[0]["text"] == "soon,1,2,1,2,1"
    assert quarantine.rows == 2
    with pytest.raises(DataQualityError, match="line 4"):
        list(piece.pieces(source, made, Quarantine(None, strict=True), piece.Count(), NOW))


def test_lines_that_are_no_utf8(tmp_path: Path) -> None:
    good = "\n".join(bars(40)).encode()
    rows, bad, _ = read(
        write(tmp_path, "AAPL.csv", HEAD.encode() + good + b"\n\xff\xfe,1,2,1,2,1\n"), {"interval": "1m"}
    )
    assert (len(rows), bad) == (40, {"no UTF-8": 1})


@pytest.mark.parametrize("order", ["rising", "falling", "shuffled"])
@pytest.mark.parametrize("piece_rows", [1 << 18, 50])
def test_the_same_rows_whatever_their_order_and_the_size_of_pieces(
    tmp_path: Path, order: str, piece_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidemill.importer.bound.BATCH_ROWS", 64)
    monkeypatch.setattr("tidemill.importer.lines.bound.BATCH_ROWS", 64)
    lines = bars(400)
    if order == "falling":
        lines = lines[::-1]
    elif order == "shuffled":
        lines = [lines[at ^ 3] for at in range(400)]  # neighbours only, as files of venues are
    path = write(tmp_path, "AAPL.csv", HEAD + "\n".join(lines) + "\n")
    rows, bad, _ = read(path, {"interval": "1m"}, piece_rows=piece_rows)
    assert bad == {}
    assert sorted(row["open"] for row in rows) == sorted(f"{at}.50" for at in range(400))
    source, made = guessed(path, {"interval": "1m"})
    for one in piece.pieces(source, made, Quarantine(None), piece.Count(), NOW, piece_rows):
        assert (one.rows.ts[1:] > one.rows.ts[:-1]).all()


def test_doubles_are_told(tmp_path: Path) -> None:
    lines = bars(3)
    rows, bad, _ = read(
        write(tmp_path, "AAPL.csv", HEAD + "\n".join([*lines, lines[1]]) + "\n"), {"interval": "1m"}
    )
    assert (len(rows), bad) == (3, {"the bar is there already": 1})
    text = "time,price,size,id\n" + "".join(f"170000000{at % 3},1.5,2,{at % 3}\n" for at in range(6))
    rows, bad, _ = read(write(tmp_path, "BTC-USD.csv", text))
    assert (len(rows), bad) == (3, {"the trade is there already": 3})
    alike = "time,price,size\n" + "1700000000,1.5,2\n" * 3
    assert len(read(write(tmp_path, "ETH-USD.csv", alike))[0]) == 3, (
        "without ids, trades that are alike are trades"
    )


def test_a_row_long_after_its_time_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.importer.bound.BATCH_ROWS", 64)
    lines = bars(400)
    path = write(tmp_path, "AAPL.csv", HEAD + "\n".join([*lines, lines[0]]) + "\n")
    _, bad, _ = read(path, {"interval": "1m"}, piece_rows=64)
    assert bad == {"time: not in order, rows around it are kept already": 1}


def test_several_instruments_and_those_that_are_asked_for(tmp_path: Path) -> None:
    text = "symbol,time,price,size\n" + "".join(
        f"{name},170000000{at},1,2\n" for at in range(5) for name in "AB"
    )
    path = write(tmp_path, "trades.csv", text)
    rows, _, _ = read(path)
    assert [row["instrument"] for row in rows] == ["A.import"] * 5 + ["B.import"] * 5
    assert len(read(path, {"symbols": ["B"]})[0]) == 5
    many = "symbol,time,price,size\n" + "".join(f"S{at},1700000000,1,2\n" for at in range(70))
    with pytest.raises(TidemillError, match="more than 64 instruments"):
        read(write(tmp_path, "many.csv", many))
    odd = text + "../../etc/passwd,1700000000,1,2\nA/../B,1700000000,1,2\n"
    assert read(write(tmp_path, "odd.csv", odd), {"venue": "x"})[1] == {"symbol: no name of an instrument": 2}


# ── recipes ───────────────────────────────────────────────────────────────────────────────────────


def test_a_saved_recipe_reads_the_next_file_without_a_question(tmp_path: Path) -> None:
    first = write(
        tmp_path, "equity/usa/minute/spy/20131007_trade.zip", "14400000,10000,10000,10000,10000,1\n"
    )
    guess = sniff.sniff(open_source(first))
    assert guess.recipe is not None
    saved = json.loads(json.dumps(choice.reusable(guess.recipe, guess, {}).as_dict()))
    second = write(
        tmp_path, "equity/usa/minute/aapl/20131008_trade.zip", "14400000,20000,20000,20000,20000,2\n"
    )
    chosen = choice.choose(sniff.sniff(open_source(second)), saved, {})
    assert chosen.recipe is not None
    assert chosen.recipe.instrument == "AAPL.lean"
    other = write(tmp_path, "AAPL.csv", HEAD + "\n".join(bars(3)))
    with pytest.raises(TidemillError) as refused:
        choice.choose(sniff.sniff(open_source(other)), saved, {})
    assert refused.value.code == "recipe_misfit"


GOOD: dict[str, Any] = {
    "version": 1, "kind": "trades", "columns": ["a", "b", "c"],
    "fields": {"time": "a", "price": "b", "size": "c"}
}  # fmt: skip


def test_a_recipe_is_json_and_back() -> None:
    made = recipe.of({**GOOD, "irregular": {"conditions": ["1"]}, "dialect": {"delimiter": ";"}})
    assert recipe.of(json.loads(json.dumps(made.as_dict()))) == made
    assert made.digest() != recipe.of(GOOD).digest()


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2}, {"kind": "books"}, {"columns": []}, {"columns": "abc"}, {"fields": {"time": "a"}},
        {"fields": {**GOOD["fields"], "price": "z"}}, {"fields": {**GOOD["fields"], "colour": "a"}},
        {"time": "%Y"}, {"zone": "../../etc/passwd"}, {"instrument": "../x.y"}, {"instrument": "AAPL"},
        {"venue": "../x"}, {"source": "live"}, {"source": "a/b"}, {"price_power": 99}, {"price_power": True},
        {"price_places": -1}, {"delay_s": -1}, {"delay_s": "1"}, {"date": "today"}, {"unknown": 1},
        {"dialect": {"delimiter": "x"}}, {"dialect": {"skip": -1}}, {"dialect": {"quote": '""'}},
        {"dialect": 3},
        {"irregular": {"mask": "xyz"}}, {"irregular": {"suspicious": "1"}}, {"aggressor": {"b": "maybe"}},
        {"shape": "excel"}, {"symbols": [1]}, {"interval": "1x"}, {"zone": None}, {"pairs": "yes"},
    ],
    ids=str,
)  # fmt: skip
def test_a_recipe_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        recipe.of({**GOOD, **change})
