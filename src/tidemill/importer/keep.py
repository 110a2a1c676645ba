"""Pieces of a file become rows of the store, each once."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill.importer import number
from tidemill.importer.number import Decimals
from tidemill.importer.piece import Piece
from tidemill.importer.recipe import Recipe
from tidemill.importer.rows import Rows
from tidemill.model.interval import SECOND
from tidemill.stores.api import Store


def keep(store: Store, piece: Piece, recipe: Recipe, *, chunk: str, ts_recv: int) -> bool:
    """Keeps a piece under the name of its chunk; False when that was kept before."""
    rest: dict[str, Any] = {
        "source": recipe.source, "chunk": f"{chunk}/{piece.number}", "ts_recv": ts_recv,
        "delay_ns": round(recipe.delay_s * SECOND),
    }  # fmt: skip
    rows = piece.rows
    if recipe.kind == "bars":
        from tidemill.stores.imported import keep as keep_bars

        return keep_bars(store, piece.instrument, recipe.interval, bar_columns(rows), **rest)
    if recipe.kind == "trades":
        from tidemill.stores.imported import keep_trades

        return keep_trades(store, piece.instrument, trade_columns(rows), **rest)
    from tidemill.stores.imported_quote import keep_quotes

    return keep_quotes(store, piece.instrument, quote_columns(rows), **rest)


def bar_columns(rows: Rows) -> dict[str, Any]:
    """As `stores.imported.keep` takes them."""
    prices, scale, _ = number.aligned(*(rows.numbers[role] for role in ("open", "high", "low", "close")))
    volume, volume_scale = _one_scale(rows.numbers["volume"])
    return {
        "start": rows.ts,
        **dict(zip(("open", "high", "low", "close"), prices, strict=True)),
        "price_scale": scale, "volume": volume, "size_scale": volume_scale,
        "trades": rows.numbers["trades"].mantissa,
    }  # fmt: skip


def trade_columns(rows: Rows) -> Any:
    """As `stores.imported.keep_trades` takes them."""
    from tidemill.providers.api import TradeColumns

    price, price_scale = _one_scale(rows.numbers["price"])
    size, size_scale = _one_scale(rows.numbers["size"])
    assert rows.aggressor is not None  # noqa: S101 - these are trades
    assert rows.id is not None  # noqa: S101
    assert rows.irregular is not None  # noqa: S101
    words = {role: tuple(column.tolist()) for role, column in rows.words.items()}
    return TradeColumns(
        rows.ts, price, size, rows.aggressor, rows.id, rows.irregular, price_scale, size_scale,
        text_id=words.get("id", ()) if any(words.get("id", ())) else (),
        conditions=words.get("conditions", ()), exchange=words.get("exchange", ()),
    )  # fmt: skip


def _one_scale(numbers: Decimals) -> tuple[Any, Any]:
    """Mantissas at one scale; each at its own where the longest does not fit the largest."""
    found = number.common(numbers)
    return found if found is not None else (numbers.mantissa, numbers.scale)


def quote_columns(rows: Rows) -> Any:
    """As `stores.imported_quote.keep_quotes` takes them: sides that are there, bid before ask."""
    from tidemill.stores.imported_quote import ASK, BID, QuoteColumns

    parts: list[tuple[np.ndarray, int, Decimals, Decimals]] = []
    for side, code in (("bid", BID), ("ask", ASK)):
        if side in rows.numbers:
            at = np.flatnonzero(rows.numbers[side].why == number.FINE)
            parts.append((at, code, rows.numbers[side].take(at), rows.numbers[f"{side}_size"].take(at)))
    order = np.argsort(np.concatenate([at * 2 + code for at, code, *_ in parts]), kind="stable")
    joined = {
        "price": np.concatenate([price.mantissa for *_, price, _ in parts]),
        "price_scale": np.concatenate([price.scale for *_, price, _ in parts]),
        "size": np.concatenate([size.mantissa for *_, size in parts]),
        "size_scale": np.concatenate([size.scale for *_, size in parts]),
        "ts_event": np.concatenate([rows.ts[at] for at, *_ in parts]),
        "side": np.concatenate([np.full(len(at), code, np.uint8) for at, code, *_ in parts]),
    }
    return QuoteColumns(**{name: column[order] for name, column in joined.items()})
