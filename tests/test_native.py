"""The binding: a journal written and read from Python, in place, over restarts."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import tidemill
from tests.recorder.test_relay import start_relay
from tidemill import _native, wire
from tidemill.model.bar import BAR
from tidemill.wire import RECORD


def instrument(writer: _native.JournalWriter) -> int:
    return writer.instrument(
        "BTC-USD.kraken", symbol="BTC/USD", base="BTC", quote="USD", tick="0.1", lot="0.00000001",
        price_scale=1, size_scale=8,
    )  # fmt: skip


def trades(first_id: int, count: int, number: int) -> np.ndarray:
    records = np.zeros(count, dtype=RECORD)
    records["kind"] = 1
    records["instrument"] = number
    records["id"] = np.arange(first_id, first_id + count)
    return records


@pytest.fixture
def writer(tmp_path: Path) -> _native.JournalWriter:
    return _native.JournalWriter(str(tmp_path), "kraken", "kraken")


def test_batches_are_views_of_dense_records(tmp_path: Path, writer: _native.JournalWriter) -> None:
    number = instrument(writer)
    assert writer.append(trades(0, 100, number)) == 1
    assert writer.append(trades(100, 1, number)) == 101
    reader = _native.JournalReader(str(tmp_path), "kraken")
    batch = reader.read(60, 0)
    assert batch is not None
    assert (batch.epoch, batch.sequence, len(batch)) == (writer.epoch, 1, 60)
    records = np.frombuffer(batch, dtype=RECORD)
    assert not records.flags.writeable
    assert not records.flags.owndata
    np.testing.assert_array_equal(records["id"], np.arange(60))
    rest = reader.read(1000, 0)
    assert rest is not None
    np.testing.assert_array_equal(np.frombuffer(rest, dtype=RECORD)["id"], np.arange(60, 101))
    assert reader.read(1000, 0) is None
    assert reader.take_lost() == []


def test_a_batch_lives_as_long_as_its_array(tmp_path: Path, writer: _native.JournalWriter) -> None:
    writer.append(trades(7, 3, instrument(writer)))
    reader = _native.JournalReader(str(tmp_path), "kraken")
    records = np.frombuffer(reader.read(10, 0), dtype=RECORD)  # type: ignore[arg-type]
    del reader
    writer.close()
    np.testing.assert_array_equal(records["id"], [7, 8, 9])


def test_seek_to_a_position_and_to_one_that_is_not_there_yet(
    tmp_path: Path, writer: _native.JournalWriter
) -> None:
    writer.append(trades(0, 10, instrument(writer)))
    reader = _native.JournalReader(str(tmp_path), "kraken")
    assert reader.seek((writer.epoch, 8)) is None
    batch = reader.read(100, 0)
    assert batch is not None
    assert (batch.sequence, len(batch)) == (8, 3)
    assert reader.seek("newest") is None
    assert reader.read(100, 0) is None
    with pytest.raises(ValueError, match="position"):
        reader.seek("middle")  # type: ignore[arg-type]


def test_a_waiting_reader_wakes_for_an_append(tmp_path: Path, writer: _native.JournalWriter) -> None:
    number = instrument(writer)
    reader = _native.JournalReader(str(tmp_path), "kraken")
    reader.seek("newest")
    timer = threading.Timer(0.1, lambda: writer.append(trades(5, 1, number)))
    timer.start()
    batch = reader.read(10, 10_000)
    timer.join()
    assert batch is not None
    assert len(batch) == 1


def test_a_new_writer_is_a_new_epoch_and_sequences_go_on(tmp_path: Path) -> None:
    with _native.JournalWriter(str(tmp_path), "kraken", "kraken") as first:
        number = instrument(first)
        first.append(trades(0, 5, number))
        epoch = first.epoch
    with _native.JournalWriter(str(tmp_path), "kraken", "kraken") as second:
        assert second.epoch == epoch + 1
        assert second.next_sequence == 6
        assert instrument(second) == number
        second.append(trades(5, 5, number))
    reader = _native.JournalReader(str(tmp_path), "kraken")
    seen = []
    while batch := reader.read(100, 0):
        seen.append((batch.epoch, batch.sequence, len(batch)))
    assert seen == [(epoch, 1, 5), (epoch + 1, 6, 5)]


def cut_power(home: Path) -> None:
    """Takes the last frame of the last segment, as a power cut takes what was not on disk yet."""
    path = max((home / "journal" / "kraken").glob("*.seg"))
    data = path.read_bytes()
    at = end = 0
    while data[end : end + 4] == wire.MAGIC:
        at, end = end, end + wire.HEADER.size + int.from_bytes(data[end + 8 : end + 12], "little")
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes(end - at))


def lose_the_end(home: Path) -> None:
    """A journal whose records 451 to 500 a power cut took; epoch 2 gave their sequences again."""
    with _native.JournalWriter(str(home), "kraken", "kraken") as first:
        number = instrument(first)
        for at in range(0, 500, 50):
            first.append(trades(at, 50, number))
    cut_power(home)
    with _native.JournalWriter(str(home), "kraken", "kraken") as second:
        assert (second.epoch, second.next_sequence) == (2, 451)
        second.append(trades(1_000, 100, number))


def test_a_place_of_an_older_epoch_cuts_nothing_from_a_newer_one(tmp_path: Path) -> None:
    """Its sequences are given again after a power cut: whoever had them all wants the new ones whole."""
    lose_the_end(tmp_path)
    reader = _native.JournalReader(str(tmp_path), "kraken")
    assert reader.seek((1, 501)) is None
    batch = reader.read(1_000, 0)
    assert batch is not None
    assert (batch.epoch, batch.sequence, len(batch)) == (2, 451, 100)
    np.testing.assert_array_equal(wire.view(batch)["id"], np.arange(1_000, 1_100))
    assert reader.take_lost() == []
    assert reader.seek((2, 500)) is None
    batch = reader.read(1_000, 0)
    assert batch is not None
    assert (batch.epoch, batch.sequence, len(batch)) == (2, 500, 51)


@pytest.mark.parametrize("wanted", [(1, 501), (2, 500)])
def test_a_relay_gives_the_records_from_the_one_wanted_on(tmp_path: Path, wanted: tuple[int, int]) -> None:
    lose_the_end(tmp_path)
    (tmp_path / "run").mkdir(exist_ok=True)
    relay = start_relay(tmp_path)
    try:
        reader = _native.RelayReader(str(tmp_path / "run" / "relay.sock"), "kraken")
        reader.subscribe(wanted)
        batch = reader.read(1_000, 30_000)
    finally:
        relay.kill()
        relay.wait()
    assert batch is not None
    assert (batch.epoch, batch.sequence) == max(wanted, (2, 451))
    assert wire.view(batch)["id"][0] == 1_000 + batch.sequence - 451


def test_a_second_writer_is_refused_by_name(tmp_path: Path, writer: _native.JournalWriter) -> None:
    code = f"from tidemill import _native; _native.JournalWriter({str(tmp_path)!r}, 'kraken', 'kraken')"
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert second.returncode != 0
    assert "kraken" in second.stderr
    writer.close()
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.parametrize("buffer", [b"", b"x" * 47, np.zeros((2, 2), dtype=RECORD)[:, 0], "text"])
def test_what_is_no_whole_records_is_refused(writer: _native.JournalWriter, buffer: object) -> None:
    before = writer.next_sequence
    with pytest.raises((ValueError, TypeError, BufferError)):
        writer.append(buffer)  # type: ignore[arg-type]
    assert writer.next_sequence == before


def test_a_home_without_the_venue_says_what_it_has(tmp_path: Path, writer: _native.JournalWriter) -> None:
    with pytest.raises(RuntimeError, match="have: kraken"):
        _native.JournalReader(str(tmp_path), "krakn")


def test_closed_means_closed(writer: _native.JournalWriter) -> None:
    writer.close()
    with pytest.raises(RuntimeError, match="closed"):
        writer.append(np.zeros(1, dtype=RECORD))


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("flags", wire.FLAG_BACKFILLED, "record 1 has FLAG_BACKFILLED set"),
        ("instrument", 2 << 20 | 1, "record 1 is of instrument 2097153, which is not one of kraken"),
        ("instrument", 0, "record 1 is of instrument 0"),
        ("price_scale", 19, "record 1 has 19 decimal places; at most 18"),
        ("size_scale", 255, "255 decimal places"),
    ],
)
def test_what_no_live_journal_holds_is_refused_whole(
    writer: _native.JournalWriter, field: str, value: int, told: str
) -> None:
    records = trades(0, 3, instrument(writer))
    writer.append(records)
    records[field][1] = value
    with pytest.raises(ValueError, match=told):
        writer.append(records)
    assert writer.next_sequence == 4


def test_status_may_speak_of_the_whole_venue(writer: _native.JournalWriter) -> None:
    record = np.zeros(1, RECORD)
    record["kind"], record["id"] = wire.KIND_STATUS, 2
    assert writer.append(record) == 1


def test_a_writer_syncs_and_says_what_presses_it(tmp_path: Path) -> None:
    # Nothing is stored although a recorder has run: the bound is reached, and nothing may go.
    offsets = tmp_path / "run" / "offsets"
    offsets.mkdir(parents=True)
    (offsets / "kraken.json").write_text('{"epoch": 1, "sequence": 0}')
    with tidemill.JournalWriter(
        tmp_path, "kraken", "kraken", max_bytes=256 << 10, segment_bytes=64 << 10
    ) as writer:
        number = instrument(writer)
        writer.control('{"type": "note"}')
        writer.append(trades(0, 10, number))
        writer.sync()
        assert writer.durable == 10
        assert (writer.pressure, writer.trouble) == (None, None)
        for _ in range(20):
            writer.append(trades(0, 1_000, number))
        deadline = time.monotonic() + 30
        while writer.pressure is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert writer.pressure == "bound"
        assert "the bound of the journal" in str(writer.trouble)


def test_the_collector_of_the_guide_collects(tmp_path: Path) -> None:
    guide = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text()
    code = guide.partition("## Collect a venue in Python")[2].partition("```python")[2].partition("```")[0]
    messages = [(7, "64231.55", "0.0100"), (8, "64231.56", "2")]
    exec(code, {"home": tmp_path, "messages": messages})  # noqa: S102 - the guide's own code
    batch = _native.JournalReader(str(tmp_path), "acme", spin_us=50).read(10, 0)
    assert batch is not None
    records = wire.view(batch)
    assert wire.texts(records["price"], records["price_scale"]) == ["64231.55", "64231.56"]
    assert wire.texts(records["size"], records["size_scale"]) == ["0.0100", "2"]
    assert records["ts_event"].tolist() == [7, 8]


def test_merged_bars_keep_what_their_parts_carry() -> None:
    second = 1_000_000_000
    rows = np.zeros(3, BAR)
    rows["start"] = [0, 59 * second, 60 * second]
    rows["end"] = rows["start"] + second
    rows["open"], rows["high"], rows["low"], rows["close"] = [5, 7, 9], [6, 8, 9], [4, 6, 9], [5, 7, 9]
    rows["volume_low"], rows["trades"] = [10, 20, 30], [1, 2, 3]
    rows["instrument"], rows["revision"] = 4, [2, 1, 0]
    rows["sequence"], rows["ts_recv"] = [8, 7, 9], np.array([300, 200, 400]) * second
    minutes = np.frombuffer(_native.merge_bars(rows, "1m"), BAR)
    assert minutes["start"].tolist() == [0, 60 * second]
    assert minutes["end"].tolist() == [60 * second, 120 * second]
    for name, expected in {
        "open": [5, 9], "high": [8, 9], "low": [4, 9], "close": [7, 9], "volume_low": [30, 30],
        "trades": [3, 3], "instrument": [4, 4], "revision": [2, 0], "sequence": [8, 9],
        "ts_recv": [300 * second, 400 * second],
    }.items():  # fmt: skip
        assert minutes[name].tolist() == expected, name
    assert _native.merge_bars(rows[:0], "1m") == b""


@pytest.mark.parametrize(
    ("rows", "wrong"),
    [(b"x" * 111, "whole 112-byte items"), (np.zeros(4, BAR)[::2], "contiguous")],
)
def test_what_are_no_rows_is_refused(rows: bytes, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        _native.merge_bars(rows, "1m")


def test_threads_that_share_an_object_do_not_stop_each_other() -> None:
    """One thread computes without the interpreter, another asks: neither may wait for the other for ever."""
    code = """
import threading
import time
import numpy as np
from tidemill import _native, wire
from tidemill.wire import RECORD

records = np.zeros(50_000, dtype=RECORD)
builder, book = _native.BarBuilder(["1s", "1m"]), _native.Book()

def work():
    for n in range(20):
        builder.push(records, n * len(records))
        book.apply(records, 0)

worker = threading.Thread(target=work)
worker.start()
while worker.is_alive():
    builder.watermark
    book.times
print("done")
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert finished.stdout == "done\n", finished.stderr


def test_a_connection_that_ends_gives_what_came_before(tmp_path: Path, writer: _native.JournalWriter) -> None:
    """The relay's bytes arrive and then the end, all before the first look at them."""
    number = instrument(writer)
    for first in range(0, 1_000, 10):
        writer.append(trades(first, 10, number))
    (tmp_path / "run").mkdir()
    relay = start_relay(tmp_path)
    between = tmp_path / "between.sock"
    delivered = threading.Event()

    def carry(listener: socket.socket) -> None:
        with listener.accept()[0] as client, socket.socket(socket.AF_UNIX) as server:
            server.connect(str(tmp_path / "run" / "relay.sock"))
            client.sendall(server.recv(1 << 16))  # the greeting
            server.sendall(client.recv(1 << 16))  # the subscription
            held = b""
            while len(held) < 100 * RECORD.itemsize:
                held += server.recv(1 << 16)
            client.sendall(held)
        delivered.set()

    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(between))
            listener.listen()
            threading.Thread(target=carry, args=(listener,), daemon=True).start()
            reader = _native.RelayReader(str(between), "kraken")
            reader.subscribe(None)
            assert delivered.wait(30)
        batch = reader.read(10_000, 1_000)
        assert batch is not None
        ids = np.frombuffer(batch, dtype=RECORD)["id"]
        np.testing.assert_array_equal(ids, np.arange(len(ids)))
        with pytest.raises(ConnectionError):
            reader.read(10_000, 1_000)
    finally:
        relay.kill()
        relay.wait()


def test_arrays_of_another_type_are_not_read_as_integers() -> None:
    times = np.arange(4) * 10**9
    prices = np.array([1.5, np.nan, np.inf, 2.0])
    with pytest.raises(ValueError, match=r"price must be a contiguous array of int64, got .* format 'd'"):
        _native.resample(times, prices, np.ones(4, dtype=np.int64), 1, 0, "1m")
    bars = _native.resample(times, np.arange(4), np.ones(4, dtype=np.int64), 1, 0, "1m")
    assert len(bars) == 112


def test_a_history_beyond_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="minutes"):
        _native.sim_history(1, "BTC-USD.sim-kraken", 2**63, 0)
