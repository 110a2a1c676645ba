"""Trades and their details as records: what is written is read back, in messages that are one frame each."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tidemill import wire
from tidemill.collector import record
from tidemill.providers import poll
from tidemill.providers.api import TradeColumns

NUMBER = (3 << 20) | 7
NOW = 1_800_000_000_000_000_000


def columns(count: int, **texts: Any) -> TradeColumns:
    at = np.arange(count)
    return TradeColumns(
        1_700_000_000_000_000_000 + at * 1000, 15_000 + at, 1 + at, (at % 3).astype(np.int8),
        np.full(count, -1) if texts.get("text_id") else at, at % 4 == 0, 2, 0, **texts,
    )  # fmt: skip


texts = st.text(max_size=90)


@given(st.lists(st.tuples(texts, texts, texts), max_size=30), st.booleans())
def test_trades_and_what_is_said_of_them_come_back(said: list[tuple[str, str, str]], named: bool) -> None:
    ids, conditions, exchange = (tuple(line[i] for line in said) for i in range(3))
    found = columns(
        len(said), **({"text_id": ids} if named else {}), conditions=conditions, exchange=exchange
    )
    records = np.concatenate([np.zeros(0, wire.RECORD), *record.messages(found, NUMBER, NOW)])
    assert list(record.rows(records)) == list(poll.rows(found))
    trades = records[records["kind"] == wire.KIND_TRADE]
    assert len(trades) == len(said)
    assert (trades["ts_recv"] == NOW).all()
    assert (records["instrument"] == NUMBER).all()
    irregular = (trades["flags"] & wire.FLAG_IRREGULAR) != 0
    assert (irregular == found.irregular).all()
    assert ((trades["flags"] & wire.FLAG_SIDE) == found.aggressor).all()
    assert ((trades["flags"] & wire.FLAG_HAS_ID) != 0).all() == (not named or not said)


def test_a_detail_is_the_text_that_a_streamed_trade_has() -> None:
    found = columns(1, text_id=("71675577320245-17",), conditions=("14 41",), exchange=("4",))
    [records] = record.messages(found, NUMBER, NOW)
    assert records["kind"].tolist() == [1, 7, 7]
    assert wire.detail_text(one.tobytes()[16:] for one in records[1:]) == "4|14 41|71675577320245-17"
    assert (records["ts_event"] == found.ts_event[0]).all()
    assert (records["ts_recv"] == NOW).all()
    assert records["flags"].tolist() == [wire.FLAG_IRREGULAR, 0, wire.FLAG_LAST]


def test_a_long_answer_is_several_messages_and_no_trade_is_cut() -> None:
    found = columns(5_000, text_id=tuple(f"id-{at}" for at in range(5_000)))
    parts = list(record.messages(found, NUMBER, NOW))
    assert [len(part) for part in parts] == [4096, 4096, 1808]
    for part in parts:
        assert (part["kind"][0], part["kind"][-1]) == (wire.KIND_TRADE, wire.KIND_DETAIL)
        assert np.flatnonzero(part["flags"] & wire.FLAG_LAST).tolist() == [len(part) - 1]


def test_details_of_another_writer_are_no_reason_to_fail() -> None:
    [records] = record.messages(columns(1, conditions=("1",)), NUMBER, NOW)
    for junk in (b"\xff" * 24, b"|" * 24, bytes(24)):
        records.view(np.uint8).reshape(-1, 48)[1, 24:] = np.frombuffer(junk, np.uint8)
        [row] = record.rows(records)
        assert row[:2] == (int(records["ts_event"][0]), 0)
