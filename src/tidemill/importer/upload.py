"""Files that wait for their import: `DIR/uploads/<id>.json` says what one is called and where it lies.

An id is made here and is the only thing that others may name. What came over REST lies beside its entry; an
entry may also name a file elsewhere, and those only the command line writes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tidemill.errors import ConfigError, NotFoundError, ResourceError
from tidemill.home import Home

KEPT_S = 24 * 3600
MB_DEFAULT = 4096
_ID = re.compile(r"[0-9a-f]{32}")
_NAME_MAX = 300


@dataclass(frozen=True)
class Upload:
    """A file that can be imported."""

    id: str
    name: str
    """As its owner calls it, folders and all: it tells what is in it, and is no path here."""
    path: Path
    bytes: int


def bytes_max() -> int:
    """How large a file may be that comes over REST: TIDEMILL_UPLOAD_MB."""
    text = os.environ.get("TIDEMILL_UPLOAD_MB") or str(MB_DEFAULT)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 2**31:
        raise ConfigError(
            "number_invalid",
            f"TIDEMILL_UPLOAD_MB is {text!r}; it must be a whole number",
            hint="docs/config.md",
        )
    return int(text) << 20


def refer(home: Home, path: Path) -> Upload:
    """An entry for a file where it lies. For the command line alone: it reads what its user may read."""
    from tidemill.importer.source import open_file

    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
    whole = path.absolute()
    upload = Upload(secrets.token_hex(16), str(whole), whole, size)
    _write(_folder(home), upload, elsewhere=str(whole))
    return upload


class Receiver:
    """Takes a file in, piece by piece; `keep` makes an upload of it, leaving without leaves nothing."""

    def __init__(self, home: Home, name: str) -> None:
        self._folder = _folder(home)
        trim(home)
        self._id = secrets.token_hex(16)
        self._name = re.sub(r"[^\x20-\x7e\u00a0-\uffff]", "?", name)[-_NAME_MAX:] or "upload"
        self._path = self._folder / f"{self._id}.data"
        self._max = bytes_max()
        self._file: IO[bytes] = open(self._path, "xb", opener=_private)  # noqa: SIM115 - closed by leave
        self._digest = hashlib.sha256()
        self._bytes = 0

    def write(self, data: bytes) -> None:
        """Raises `ResourceError` beyond the bound, or where the disk is full."""
        self._bytes += len(data)
        if self._bytes > self._max:
            raise ResourceError(
                "body_too_large",
                f"the file is larger than {self._max >> 20} MiB",
                hint="import it with `tidemill data import` where it lies, or raise TIDEMILL_UPLOAD_MB",
            )
        self._digest.update(data)
        try:
            self._file.write(data)
        except OSError as error:
            raise ResourceError(
                "disk_full", f"the upload could not be written: {error.strerror}", hint="free space",
                http_status=507,
            ) from error  # fmt: skip

    def keep(self) -> tuple[Upload, str]:
        """The upload, and its SHA-256."""
        self._file.close()
        upload = Upload(self._id, self._name, self._path, self._bytes)
        _write(self._folder, upload)
        return upload, self._digest.hexdigest()

    def leave(self) -> None:
        """Lets go of what came so far."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def find(home: Home, upload_id: str) -> Upload:
    """The upload of that id. Raises `NotFoundError` for what is none, whatever it looks like."""
    if _ID.fullmatch(upload_id):
        folder = _folder(home)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            said = json.loads(_read(folder / f"{upload_id}.json"))
            path = Path(said["elsewhere"]) if said.get("elsewhere") else folder / f"{upload_id}.data"
            if said.get("elsewhere") or stat.S_ISREG(path.lstat().st_mode):
                return Upload(upload_id, str(said["name"]), path, int(said["bytes"]))
    raise NotFoundError(
        "upload_unknown", f"no upload is named {upload_id[:64]!r}",
        hint="POST /api/v1/data/uploads takes a file and answers with its id; uploads are kept for a day",
    )  # fmt: skip


def trim(home: Home, kept_s: float = KEPT_S) -> int:
    """Lets go of uploads of long ago; returns how many files went. Files elsewhere stay."""
    gone, before = 0, time.time() - kept_s
    for path in _folder(home).iterdir():
        if re.fullmatch(r"[0-9a-f]{32}\.(json|data)", path.name):
            with contextlib.suppress(OSError):
                if path.lstat().st_mtime < before:
                    path.unlink()
                    gone += 1
    return gone


def _folder(home: Home) -> Path:
    folder = home.path / "uploads"
    folder.mkdir(exist_ok=True, mode=0o700)
    if folder.is_symlink():
        raise ConfigError(
            "uploads_elsewhere", f"{folder} is a link to elsewhere", hint="remove it; a folder is made anew"
        )
    return folder


def _write(folder: Path, upload: Upload, elsewhere: str | None = None) -> None:
    said = {"name": upload.name, "bytes": upload.bytes, **({"elsewhere": elsewhere} if elsewhere else {})}
    with open(folder / f"{upload.id}.json", "x", opener=_private) as file:
        json.dump(said, file)


def _read(path: Path) -> str:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)) as file:
        return file.read(4096)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
