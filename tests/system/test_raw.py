"""What a collector keeps of a venue is enough to play the venue again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.system.harness import journal_records, names, until
from tests.system.test_recording import LEVEL, TRADE, played, prices_and_sizes, rebuilt, replayed


def kept(home: Path, protocol: str, instruments: list[str]) -> Path:
    """The raw file of a collector that has followed an invented market for a while."""
    words = ("--venues", protocol, "--rate", "400", "--seed", "3")
    with played(home, protocol, words, ("--keep-raw", "--instruments", ",".join(instruments))):
        until(lambda: enough(home, protocol, len(instruments)), "trades and levels of all instruments", 60)
    (raw,) = (home / "raw" / protocol).glob("*.jsonl.zst")
    return raw


def enough(home: Path, protocol: str, instruments: int) -> bool:
    if not (home / "journal" / protocol / "head").exists():
        return False
    records = journal_records(home, protocol)[0]
    of = [len(np.unique(records["instrument"][records["kind"] == kind])) for kind in (TRADE, LEVEL)]
    return len(records) > 2_000 and of == [instruments, instruments]


def told(home: Path, protocol: str) -> dict[str, Any]:
    """Trades and the last book of each instrument, by name."""
    records = journal_records(home, protocol)[0]
    found: dict[str, Any] = {}
    for number, name in names(home, protocol).items():
        mine = records[records["instrument"] == number]
        trades = mine[mine["kind"] == TRADE]
        found[name] = (
            list(
                zip(trades["id"].tolist(), trades["ts_event"].tolist(), prices_and_sizes(trades), strict=True)
            ),
            rebuilt(mine),
        )
    return found


@pytest.mark.parametrize(
    ("protocol", "quote"),
    [("kraken", "USD"), ("coinbase", "USD"), ("coinbase-advanced", "USD"), ("binance", "USDT")],
)
def test_a_market_that_was_kept_plays_again(tmp_path: Path, protocol: str, quote: str) -> None:
    instruments = [f"{base}-{quote}" for base in ("BTC", "MOTE", "HEAP")]
    first = tmp_path / "first"
    raw = kept(first, protocol, instruments)
    with replayed(tmp_path / "again", protocol, raw, instruments) as home:
        before, after = told(first, protocol), told(home, protocol)
    assert after.keys() == before.keys()
    for name, (trades, book) in before.items():
        assert after[name][0] == trades, name
        assert all(book.values()), name
        assert after[name][1] == book, name
