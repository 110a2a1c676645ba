"""The golden vectors that Rust and TypeScript read too."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill import wire

VECTORS = Path(__file__).parent.parent / "vectors" / "wire"


def load(name: str) -> list[dict[str, Any]]:
    vectors = json.loads((VECTORS / name).read_text())
    assert vectors
    return vectors


@pytest.mark.parametrize("vector", load("records.json"), ids=lambda v: v["description"])
def test_record(vector: dict[str, Any]) -> None:
    record = np.frombuffer(bytes.fromhex(vector["hex"]), wire.RECORD)[0]
    for field, value in vector["expect"].items():
        assert int(record[field]) == int(value), field
    for field in ("price", "size"):
        if field in vector:
            assert wire.text(int(record[field]), int(record[f"{field}_scale"])) == vector[field]


@pytest.mark.parametrize("vector", load("decimals.json"), ids=lambda v: repr(v["text"][:40]))
def test_decimal(vector: dict[str, Any]) -> None:
    if error := vector.get("error"):
        with pytest.raises({"syntax": ValueError, "range": OverflowError}[error]):
            wire.parse(vector["text"])
    else:
        assert wire.parse(vector["text"]) == (int(vector["mantissa"]), vector["scale"])


@pytest.mark.parametrize("vector", load("frames.json"), ids=lambda v: v["description"])
def test_frame(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    if error := vector.get("error"):
        with pytest.raises(wire.FrameError) as caught:
            wire.decode(data)
        assert caught.value.reason == error
        return
    expect = vector["expect"]
    frame = wire.decode(data)
    assert (frame.type, frame.venue, frame.count, frame.epoch) == tuple(
        expect[field] for field in ("type", "venue", "count", "epoch")
    )
    assert frame.sequence == int(expect["sequence"])
    again = wire.encode(frame.type, frame.venue, frame.count, frame.epoch, frame.sequence, frame.payload)
    assert again == data[: frame.bytes]
    if "records" in expect:
        records = load("records.json")
        assert frame.records.tobytes().hex() == "".join(records[i]["hex"] for i in expect["records"])


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.integers(0, 18))
def test_text_and_parse_are_inverse(mantissa: int, scale: int) -> None:
    parsed, at = wire.parse(wire.text(mantissa, scale))
    assert parsed * 10**scale == mantissa * 10**at


@given(st.integers(-(10**15) + 1, 10**15 - 1), st.integers(0, 18))
def test_floats_are_those_of_the_text(mantissa: int, scale: int) -> None:
    floats = wire.floats(np.array([mantissa]), np.array([scale]))
    assert floats[0] == float(wire.text(mantissa, scale))


def test_names_past_the_table_are_numbers() -> None:
    assert wire.name(wire.CAUSES, 3) == "hole"
    assert wire.name(wire.CAUSES, 99) == "99"
