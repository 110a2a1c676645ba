"""Requests, against lines that other clients send."""

from __future__ import annotations

import pytest

from tidemill.errors import UsageError
from tidemill.iqfeed import request
from tidemill.iqfeed.request import Request


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        (request.last_ticks("AAPL", 500), "HTX,AAPL,500,1,R,500"),
        (
            request.ticks_between("AAPL", "20000101 093000", "20010101 160000", 100_000),
            "HTT,AAPL,20000101 093000,20010101 160000,100000,,,1,R,500",
        ),
        (
            request.ticks_of_days("AAPL", 180, 2_000, "093000", "160000"),
            "HTD,AAPL,180,2000,093000,160000,1,R,500",
        ),
        (request.last_bars("AAPL", 60, 10), "HIX,AAPL,60,10,1,R,500,s,1"),
        (
            request.bars_of_days("AAPL", 15, 25, 25_000, "093000", "160000", "t"),
            "HID,AAPL,15,25,25000,093000,160000,1,R,500,t,1",
        ),
        (
            request.bars_between("MSFT", 1, "20240102 093000", "20240102 160000"),
            "HIT,MSFT,1,20240102 093000,20240102 160000,,,,1,R,500,s,1",
        ),
        (request.last_days("SPY", 10), "HDX,SPY,10,1,R,500"),
        (request.days_between("SPY", "20240102", "20240105"), "HDT,SPY,20240102,20240105,,1,R,500"),
        (request.last_weeks("AAPL", 35_000), "HWX,AAPL,35000,1,R,500"),
        (request.last_months("AAPL"), "HMX,AAPL,,1,R,500"),
        (request.symbols("apple", in_description=True), "SBF,d,apple,,,R"),
        (request.markets(), "SLM,R"),
    ],
)
def test_lines(wanted: Request, line: str) -> None:
    assert wanted.line("R") == line


@pytest.mark.parametrize("symbol", ["AAPL\r\nS,CONNECT", "A,B", "A\x00"])
def test_nothing_breaks_out_of_a_line(symbol: str) -> None:
    with pytest.raises(UsageError):
        request.last_days(symbol).line("R")
