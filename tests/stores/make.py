"""Made-up records for the tests of stores, recorder and client."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from tidemill import wire

SECOND = 1_000_000_000
START = 1_795_167_000 * SECOND  # 2026-11-20T09:30:00Z
VENUE = "sim-kraken"
NAMES = ("BTC-USD.sim-kraken", "ETH-USD.sim-kraken", "SOL-USD.sim-kraken")
FIRST = 1 << 20 | 1


def number(name: str) -> int:
    return FIRST + NAMES.index(name)


def name(number: int) -> str:
    return NAMES[number - FIRST]


def trades(
    count: int, *, start: int = START, step: int = SECOND // 10, first_id: int = 1, seed: int = 1
) -> wire.Records:
    """Trades of three instruments, `step` ns apart, that arrive 3 ms after they happened."""
    random = np.random.default_rng(seed)
    records = np.zeros(count, wire.RECORD)
    records["kind"] = wire.KIND_TRADE
    records["flags"] = random.integers(0, 3, count) | wire.FLAG_HAS_ID | wire.FLAG_LAST
    records["instrument"] = FIRST + random.integers(0, len(NAMES), count)
    records["ts_event"] = start + np.arange(count) * step
    records["ts_recv"] = records["ts_event"] + 3_000_000
    records["price"] = 642_315 + random.integers(-500, 500, count).cumsum()
    records["price_scale"] = 1
    records["size"] = random.integers(1, 10**9, count)
    records["size_scale"] = 8
    records["id"] = first_id + np.arange(count)
    return records


def mixed(count: int, *, start: int = START, first_id: int = 1, seed: int = 1) -> wire.Records:
    """Trades, quotes, levels with clears, status and gap records, as a collector would write them."""
    records = trades(count, start=start, first_id=first_id, seed=seed)
    random = np.random.default_rng(seed + 1)
    kinds = random.choice(
        [wire.KIND_TRADE, wire.KIND_QUOTE, wire.KIND_LEVEL, wire.KIND_CLEAR, wire.KIND_STATUS, wire.KIND_GAP],
        count,
        p=[0.5, 0.2, 0.28, 0.01, 0.005, 0.005],
    )
    records["kind"] = kinds
    book = np.isin(kinds, (wire.KIND_QUOTE, wire.KIND_LEVEL))
    records["flags"][book] = 1 + (records["price"][book] % 2) + wire.FLAG_LAST
    clear = kinds == wire.KIND_CLEAR
    records["flags"][clear] = wire.FLAG_SNAPSHOT | wire.FLAG_LAST
    for field in ("price", "size", "price_scale", "size_scale", "id"):
        records[field][clear] = 0
    status = kinds == wire.KIND_STATUS
    records["flags"][status] = 0
    records["price_scale"][status] = 3
    records["size_scale"][status] = 0
    records["id"][status] = 2
    gap = kinds == wire.KIND_GAP
    records["flags"][gap] = 1
    records["price_scale"][gap] = 1
    records["size_scale"][gap] = 1
    records["price"][gap], records["size"][gap], records["id"][gap] = -1, -1, 0
    return records


def writer(home: Path, venue: str = VENUE):  # type: ignore[no-untyped-def]
    """A journal writer whose registry knows `NAMES`."""
    from tidemill import _native

    journal = _native.JournalWriter(str(home), venue, "kraken")
    for full in NAMES:
        symbol = full.partition(".")[0]
        base, quote = symbol.split("-")
        found = journal.instrument(
            f"{symbol}.{venue}", symbol=symbol.replace("-", "/"), base=base, quote=quote,
            tick="0.1", lot="0.00000001", price_scale=1, size_scale=8,
        )  # fmt: skip
        if venue == VENUE:
            assert found == number(full)
    return journal


def rot(home: Path, records: wire.Records, venue: str = VENUE) -> None:
    """Flips a bit of the frame that these records came in, in the journal's file."""
    needle = records.tobytes()
    [(path, at)] = [
        (path, data.find(needle))
        for path in (home / "journal" / venue).iterdir()
        if needle in (data := path.read_bytes())
    ]
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes([needle[0] ^ 1]))


def damage(path: Path, harm: str) -> None:
    """Harms a file as disks do: flips a bit of its footer ("flip") or of its prices ("rot"), loses its end
    ("cut") or all ("gone")."""
    data = bytearray(path.read_bytes())
    if harm == "flip":
        data[-20] ^= 0xFF
        data[-9] ^= 0xFF
    if harm == "rot":
        with pq.ParquetFile(path) as file:
            column = file.metadata.row_group(0).column(file.schema.names.index("price"))
        data[column.data_page_offset + column.total_compressed_size - 3] ^= 0x10
    path.write_bytes(data[: len(data) // 2] if harm == "cut" else data)
    if harm == "gone":
        path.unlink()
