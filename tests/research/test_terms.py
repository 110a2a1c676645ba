"""How an instrument is traded: prices and sizes of whole steps."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import UsageError
from tidemill.research.history import Terms

TERMS = Terms("BTC-USD.kraken", price_scale=2, size_scale=4, tick=5, lot=25)


@pytest.mark.parametrize(
    ("value", "price", "size"),
    [
        (100.13, "100.15", "100.1300"), (100.12, "100.10", "100.1200"), (0.3, "0.30", "0.3000"),
        (0.0049, "0.05", "0.0025"), (0.00249, "0.05", "0.0000"), (-3.0, "0.05", "0.0000"),
        (1e-300, "0.05", "0.0000"),
    ],
)  # fmt: skip
def test_whole_ticks_and_lots(value: float, price: str, size: str) -> None:
    assert str(TERMS.price(value)) == price
    assert str(TERMS.size(value)) == size


@given(value=st.floats())
def test_every_number_has_a_price_and_a_size_or_is_none(value: float) -> None:
    if not abs(value) < 10**18:
        for ask in (TERMS.price, TERMS.size):
            with pytest.raises(UsageError, match="neither a price nor a size"):
                ask(value)
        return
    price, size = TERMS.price(value), TERMS.size(value)
    exact = Decimal(str(value))
    assert price % Decimal("0.05") == 0
    assert abs(price - exact) <= Decimal("0.025") or price == Decimal("0.05") > exact
    assert size % Decimal("0.0025") == 0
    assert 0 <= exact - size < Decimal("0.0025") or size == 0 > exact
