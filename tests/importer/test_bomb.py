"""Files that are made to hurt: each is refused before it is decoded, and whoever looks at one stays small."""

from __future__ import annotations

import gzip
import io
import json
import os
import resource
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tidemill.errors import ResourceError, TidemillError
from tidemill.importer import limited, sniff
from tidemill.importer import preview as previews
from tidemill.importer.source import open_source

MB = 1 << 20
HEAD = b"time,open,high,low,close,volume\n"
ROW = b"2024-05-13 09:30,1,2,1,2,10\n"


def gz_of_rows(path: Path) -> None:
    with gzip.open(path, "wb", compresslevel=6) as file:
        file.write(HEAD)
        for _ in range(100):
            file.write(ROW * (MB // len(ROW)))


def gz_of_zeros(path: Path) -> None:
    with gzip.open(path, "wb", compresslevel=6) as file:
        for _ in range(100):
            file.write(bytes(MB))


def zst_of_rows(path: Path) -> None:
    with pa.CompressedOutputStream(str(path), "zstd") as file:
        file.write(HEAD)
        for _ in range(100):
            file.write(ROW * (MB // len(ROW)))


def zip_of_rows(path: Path) -> None:
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
        archive.open("rows.csv", "w") as file,
    ):
        for _ in range(100):
            file.write(ROW * (MB // len(ROW)))


def zip_that_lies(path: Path) -> None:
    """Its list says 100 bytes, its data unpack to 100 MB."""
    zip_of_rows(path)
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 100)
    path.write_bytes(data)


def zip_of_many(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for at in range(1_001):
            archive.writestr(f"{at}.csv", "x")


def zip_in_zip(path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("rows.csv", HEAD + ROW)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rows.csv", inner.getvalue())


def long_line(path: Path) -> None:
    path.write_bytes(HEAD + b"9" * (10 * MB) + b"\n")


def many_columns(path: Path) -> None:
    path.write_bytes(
        b",".join(b"c%d" % at for at in range(5_000)) + b"\n" + b",".join([b"1"] * 5_000) + b"\n"
    )


def parquet_of_one_value(path: Path) -> None:
    """A few hundred bytes of runs that are 160,000,000 once decoded."""
    with pq.ParquetWriter(path, pa.schema([("time", pa.int64())])) as writer:
        ones = pa.chunked_array([pc.fill_null(pa.nulls(2_000_000, pa.int64()), 1)])
        for _ in range(10):
            writer.write_table(pa.table({"time": ones}))


def parquet_of_long_text(path: Path) -> None:
    """One long text that many rows name."""
    column = pa.DictionaryArray.from_arrays(pc.fill_null(pa.nulls(1_000, pa.int32()), 0), ["x" * (200 << 10)])
    table = pa.table({"price": column, "time": pc.fill_null(pa.nulls(1_000, pa.int64()), 1)})
    pq.write_table(table, path, dictionary_pagesize_limit=1 << 24)


def parquet_of_nests(path: Path) -> None:
    kind = pa.int64()
    for _ in range(60):
        kind = pa.list_(kind)
    pq.write_table(pa.table({"time": pa.nulls(1, kind)}), path)


def arrow_of_zeros(path: Path) -> None:
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    table = pa.table({"time": pc.fill_null(pa.nulls(1_000_000, pa.int64()), 0)})
    with pa.ipc.new_file(path, table.schema, options=options) as writer:
        for _ in range(50):
            writer.write_table(table)


def arrow_of_nothing(path: Path) -> None:
    """Rows without end of a column without bytes: their number is all there is of them."""
    few, many = 123_457, 2**40
    batch = pa.record_batch({"time": pa.nulls(few)})
    with pa.ipc.new_stream(path, batch.schema) as writer:
        writer.write_batch(batch)
    path.write_bytes(path.read_bytes().replace(struct.pack("<q", few), struct.pack("<q", many)))


def json_of_nests(path: Path) -> None:
    path.write_bytes(b'{"time":' + b"[" * 60_000 + b"]" * 4 + b"}\n")


CORPUS: list[tuple[str, Callable[[Path], None]]] = [
    ("a.csv.gz", gz_of_rows), ("b.csv.gz", gz_of_zeros), ("c.csv.zst", zst_of_rows), ("d.zip", zip_of_rows),
    ("e.zip", zip_that_lies), ("f.zip", zip_of_many), ("g.zip", zip_in_zip), ("h.csv", long_line),
    ("i.csv", many_columns), ("j.parquet", parquet_of_one_value), ("k.parquet", parquet_of_long_text),
    ("l.parquet", parquet_of_nests), ("m.arrow", arrow_of_zeros), ("n.arrow", arrow_of_nothing),
    ("o.jsonl", json_of_nests),
]  # fmt: skip


REFUSED = ("import_refused", "import_unreadable", "member_unclear")


@pytest.mark.parametrize(("name", "make"), CORPUS, ids=[make.__name__ for _, make in CORPUS])
def test_a_bomb_is_refused_in_little_memory(tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:
    path = tmp_path / name
    make(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TidemillError) as refused:
        previews.preview(path, name, 0)
    assert refused.value.code in REFUSED, refused.value
    assert refused.value.message.startswith(name)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before <= 64 << 10


@pytest.mark.parametrize("make", [gz_of_rows, parquet_of_one_value])
def test_nothing_of_a_bomb_comes_into_the_process_that_asks(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "bomb"
    make(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TidemillError) as refused:
        limited.preview(path, "bomb")
    assert refused.value.code in REFUSED
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before <= 4 << 10


def test_a_decoder_that_takes_too_much_is_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(HEAD + ROW)
    with pytest.raises(ResourceError, match="memory"):
        limited.preview(path, "a.csv", memory_bytes=8 << 20)


def test_devices_and_pipes_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, tmp_path / "none", Path("/proc/self/mem")):
        with pytest.raises(TidemillError) as refused:
            sniff.sniff(open_source(path))
        assert refused.value.code in ("file_unfit", "file_unknown", "import_unreadable")


def test_a_good_file_of_a_good_ratio_passes(tmp_path: Path) -> None:
    path = tmp_path / "AAPL.csv.gz"
    rows = b"".join(b"2024-05-13 %02d:%02d,1,2,1,2,10\n" % divmod(at, 60) for at in range(1_440))
    path.write_bytes(gzip.compress(HEAD + rows))
    seen = limited.preview(path, "AAPL.csv.gz")
    assert seen["sample"]["rows"] == 1_440
    json.dumps(seen)
