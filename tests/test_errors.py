"""The error table and its one shape."""

import pytest

from tidemill import errors
from tidemill.errors import (
    CATEGORIES,
    NotFoundError,
    RateLimitError,
    TidemillError,
    from_dict,
    nearest,
    unknown,
)

# Category, exit code, HTTP status: the table of docs/errors.md, which programs rely on.
TABLE = {
    "usage": (2, 422),
    "config": (3, 424),
    "auth": (4, 401),
    "not_found": (5, 404),
    "conflict": (6, 409),
    "rate_limit": (7, 429),
    "upstream": (8, 502),
    "timeout": (9, 504),
    "data_quality": (10, 200),
    "resource": (11, 413),
    "cancelled": (130, 499),
    "internal": (1, 500),
}


def test_table() -> None:
    assert {c: (e.exit_code, e.default_status) for c, e in CATEGORIES.items()} == TABLE
    subclasses = {e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, TidemillError)}
    assert subclasses - {TidemillError} == set(CATEGORIES.values())


@pytest.mark.parametrize("category", CATEGORIES)
def test_round_trip(category: str) -> None:
    error = CATEGORIES[category]("a_code", "asked, found", hint="what to do", request_id="r1")
    again = from_dict(error.as_dict())
    assert type(again) is type(error)
    assert again.as_dict() == error.as_dict()
    assert set(error.as_dict()) == {"code", "category", "message", "hint", "retryable", "docs", "request_id"}


def test_unknown_names_the_three_nearest() -> None:
    error = unknown("venue", "krakn", ["kraken", "coinbase", "sim-kraken", "binance", "kraken-futures"])
    assert isinstance(error, NotFoundError)
    assert error.code == "venue_unknown"
    assert "'krakn'" in error.message
    assert error.hint.startswith("nearest: kraken")
    assert nearest("btc-usd.KRAKEN", ["BTC-USD.kraken"]) == ["BTC-USD.kraken"]
    assert "yet" in unknown("venue", "ftx", []).hint


def test_rate_limit_says_when() -> None:
    assert RateLimitError("too_fast", "no", retry_after_s=2.5).retry_after_s == 2.5
    assert RateLimitError("too_fast", "no").retryable
