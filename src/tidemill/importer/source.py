"""A file that is to be imported: what its first bytes say it is, and its bytes unpacked within bounds."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import pyarrow as pa

from tidemill.errors import NotFoundError, UsageError
from tidemill.importer import bound

Shape = Literal["text", "parquet", "arrow"]
CHUNK_BYTES = 1 << 20
HEAD_BYTES = 1 << 20
_NEVER = {
    b"BZh": "it is packed with bzip2",
    b"\xfd7zXZ": "it is packed with xz",
    b"7z\xbc\xaf": "it is a 7z archive",
    b"Rar!": "it is a RAR archive",
    b"\x89HDF": "it is HDF5",
    b"SQLite": "it is an SQLite database",
    b"FEA1": "it is Feather of the first version",
    b"\xd0\xcf\x11\xe0": "it is an old Excel workbook: save it as CSV",
    b"%PDF": "it is a PDF",
    b"DBN": "it is binary DBN: download or convert it as CSV",
}
_DATA = (".csv", ".txt", ".tsv", ".jsonl", ".ndjson", ".json", ".dat")


@dataclass(frozen=True)
class Source:
    """An opened file. Nothing of it is decoded yet but the first bytes."""

    path: Path
    name: str
    """What people call it, with the folders that tell what it is. Never a path that is opened."""
    size: int
    """Bytes of the file as it lies there."""
    shape: Shape
    packed: Literal["", "gz", "zst", "zip"] = ""
    member: str = ""
    """Of an archive."""

    @property
    def label(self) -> str:
        """For people: `20131007_trade.zip:20131007_spy_Trade_Tick.csv`."""
        short = self.name.rpartition("/")[2]
        return f"{short}:{self.member}" if self.member else short

    def chunks(self) -> Iterator[bytes]:
        """The unpacked bytes of text, a MiB at a time. Raises `ResourceError` once they are too many, and
        `UsageError` where they are damaged."""
        allowed, total = bound.allowed(self.size), 0
        try:
            with self._unpacked() as file:
                while chunk := file.read(CHUNK_BYTES):
                    total += len(chunk)
                    if total > allowed:
                        raise bound.refused(
                            self.label,
                            f"{self.size:,} bytes become more than {allowed:,}",
                        )
                    yield chunk
        except (
            OSError,
            EOFError,
            zlib.error,
            zipfile.BadZipFile,
            NotImplementedError,
            RuntimeError,
        ) as error:
            # pa.ArrowInvalid, a broken zstd frame, is a ValueError and is taken below.
            raise bound.unreadable(self.label, _told(error)) from error
        except (pa.ArrowException, ValueError) as error:
            raise bound.unreadable(self.label, _told(error)) from error

    def head(self) -> bytes:
        """The first MiB of text."""
        found = b""
        for chunk in self.chunks():
            found += chunk
            if len(found) >= HEAD_BYTES:
                break
        return found

    def measure(self, most: int | None = None) -> int:
        """How many bytes of text there are; unpacks everything and keeps nothing, so that a bomb or a
        damaged archive is known before anything of it is kept. Looks at `most` bytes at most."""
        if not self.packed:
            return self.size
        total = 0
        for chunk in self.chunks():
            total += len(chunk)
            if most is not None and total >= most:
                break
        return total

    def sha256(self) -> str:
        """Of the file as it lies there."""
        digest = hashlib.sha256()
        with open_file(self.path) as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    @contextlib.contextmanager
    def _unpacked(self) -> Iterator[IO[bytes]]:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(open_file(self.path))
            if self.packed == "gz":
                yield stack.enter_context(gzip.GzipFile(fileobj=file))  # type: ignore[arg-type]
            elif self.packed == "zst":
                yield stack.enter_context(pa.CompressedInputStream(pa.PythonFile(file), "zstd"))
            elif self.packed == "zip":
                archive = stack.enter_context(zipfile.ZipFile(file))
                yield stack.enter_context(archive.open(self.member))
            else:
                yield file


def open_file(path: Path) -> IO[bytes]:
    """A regular file, for reading. Raises `NotFoundError`; devices and pipes are no files here."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise NotFoundError(
            "file_unknown", f"{str(path)[:300]!r} cannot be opened: {_told(error)}",
            hint="name a file that this user can read",
        ) from error  # fmt: skip
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageError("file_unfit", f"{path} is no regular file", hint="name a file")
    return os.fdopen(descriptor, "rb")


def open_source(path: Path, name: str | None = None, member: str | None = None) -> Source:
    """What a file is. Raises `NotFoundError`, `UsageError` for what cannot be imported and `ResourceError`
    for an archive whose own list says that it is a bomb."""
    called = str(name or path)
    short = called.rpartition("/")[2]
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            first = file.read(16)
        except OSError as error:  # a file of the system that only looks like one
            raise bound.unreadable(short, _told(error)) from error
        if not size:
            raise bound.unreadable(short, "it is empty")
        if first[:4] == b"PAR1":
            return Source(path, called, size, "parquet")
        if first[:6] == b"ARROW1" or first[:4] == b"\xff\xff\xff\xff":
            return Source(path, called, size, "arrow")
        if first[:4] == b"PK\x03\x04" or first[:4] == b"PK\x05\x06":
            return _zip(path, called, size, file, member)
        packed: Literal["", "gz", "zst"] = ""
        if first[:2] == b"\x1f\x8b":
            packed = "gz"
        elif first[:4] == b"\x28\xb5\x2f\xfd":
            packed = "zst"
        else:
            _never(short, first)
    return _plain_inside(Source(path, called, size, "text", packed))


def _zip(path: Path, called: str, size: int, file: IO[bytes], member: str | None) -> Source:
    short = called.rpartition("/")[2]
    try:
        # The list alone may be the bomb: it is read only where it is of a sensible size.
        entries = zipfile.ZipFile(file).infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise bound.unreadable(short, _told(error)) from error
    if len(entries) > bound.MEMBERS_MAX:
        raise bound.refused(short, f"it has {len(entries):,} members; {bound.MEMBERS_MAX:,} may be")
    if any(entry.filename == "[Content_Types].xml" for entry in entries):
        raise bound.unreadable(short, "it is an Excel workbook: save it as CSV")
    files = [entry for entry in entries if not entry.is_dir()]
    declared = sum(entry.file_size for entry in files)
    if declared > bound.allowed(size):
        raise bound.refused(short, f"{size:,} bytes say that they become {declared:,}")
    data = [entry for entry in files if entry.filename.lower().endswith(_DATA)] or files
    chosen = [entry for entry in data if member in (None, entry.filename)]
    if len(chosen) != 1:
        names = ", ".join(entry.filename[:60] for entry in data[:10])
        raise UsageError(
            "member_unclear",
            f"{short} has {len(data)} files"
            + (f", none is {member[:60]!r}" if member else "")
            + f": {names}",
            hint="name one with --member",
        )
    entry = chosen[0]
    if entry.flag_bits & 1:
        raise bound.unreadable(short, "it is encrypted")
    return _plain_inside(Source(path, called, size, "text", "zip", entry.filename))


def _plain_inside(source: Source) -> Source:
    """The same source, once what is in it is known to be text."""
    if source.packed:
        head = next(source.chunks(), b"")[:16]
        if head[:2] == b"\x1f\x8b" or head[:4] in (b"PK\x03\x04", b"\x28\xb5\x2f\xfd"):
            raise bound.refused(source.label, "an archive is packed in it")
        if head[:4] == b"PAR1" or head[:6] == b"ARROW1":
            raise bound.unreadable(source.label, "Parquet and Arrow are read in place: unpack the file first")
        _never(source.label, head)
        if not head:
            raise bound.unreadable(source.label, "it is empty")
    return source


def _never(name: str, first: bytes) -> None:
    for magic, why in _NEVER.items():
        if first.startswith(magic):
            raise bound.unreadable(name, why)


def _told(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:300]
