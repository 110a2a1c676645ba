"""Where a lake lies: a folder of this machine, or a prefix of an S3 bucket.

A folder is a `Path`. A `Bucket` is as much of one as the lake needs, so that nearly everything that is said
about files holds for both. S3 keeps an object whole or not at all, and durably, once the write is answered:
there is nothing to fsync and no torn end to mend.

S3 is reached with what every AWS client takes: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, and for
other servers AWS_ENDPOINT_URL and AWS_ALLOW_HTTP.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

# A server that does not answer is noticed within seconds; the caller tries again, not the library.
_REQUEST_S, _CONNECT_S = 30, 5
_OPTIONS = {
    "timeout": f"{_REQUEST_S}s",
    "connect_timeout": f"{_CONNECT_S}s",
    "max_retries": "3",
    "retry_timeout": f"{_REQUEST_S}s",
}


class SyncError(OSError):
    """fsync failed: what the disk holds is unknown. The process ends and looks at its next start."""


@dataclass(frozen=True)
class Bucket:
    """A prefix or an object of a bucket."""

    key: PurePosixPath
    """Bucket, then prefix: `bucket/lake/trades`."""

    def __truediv__(self, name: str) -> Bucket:
        return Bucket(self.key / name)

    def __str__(self) -> str:
        return f"s3://{self.key}"

    @property
    def name(self) -> str:
        return self.key.name

    def relative_to(self, root: Bucket) -> PurePosixPath:
        return self.key.relative_to(root.key)


Place = Path | Bucket


def place(address: str | Path | Bucket) -> Place:
    """The place of `s3://bucket/prefix`, or of a path. Raises `ConfigError` where no bucket is named."""
    if isinstance(address, Path | Bucket):
        return address
    if not address.startswith("s3://"):
        return Path(address)
    key = PurePosixPath(address.removeprefix("s3://"))
    if not key.name or key.is_absolute() or ".." in key.parts:
        raise ConfigError(
            "address_invalid",
            f"{address!r} names no bucket",
            hint="s3://BUCKET or s3://BUCKET/PREFIX; docs/config.md has an example",
        )
    return Bucket(key)


def filesystem(where: Place) -> S3FileSystem | None:
    """What Arrow reads and writes this place through; None for this machine's own files."""
    return None if isinstance(where, Path) else _bucket_files()


def _bucket_files() -> S3FileSystem:
    return _s3(
        os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"),
        os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
    )


@lru_cache(maxsize=4)
def _s3(endpoint: str | None, region: str | None) -> S3FileSystem:
    from pyarrow.fs import S3FileSystem

    return S3FileSystem(
        endpoint_override=endpoint,
        region=region or "us-east-1",
        request_timeout=_REQUEST_S,
        connect_timeout=_CONNECT_S,
    )


def arrow_path(where: Place) -> str:
    """The place as its `filesystem` names it."""
    return str(where) if isinstance(where, Path) else str(where.key)


def options(where: Place) -> dict[str, str] | None:
    """What `deltalake` needs beyond the environment to reach this place."""
    return None if isinstance(where, Path) else dict(_OPTIONS)


def exists(where: Place) -> bool:
    """True when a file, or something in a folder, is there."""
    if isinstance(where, Path):
        return where.exists()
    from pyarrow.fs import FileType

    return bool(_bucket_files().get_file_info(arrow_path(where)).type != FileType.NotFound)


def size(where: Place) -> int:
    """Bytes of a file."""
    if isinstance(where, Path):
        return where.stat().st_size
    return int(_bucket_files().get_file_info(arrow_path(where)).size)


def names(folder: Place) -> list[str]:
    """Names of the files that lie directly in a folder; none where it is missing."""
    if isinstance(folder, Path):
        return [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    from pyarrow.fs import FileSelector

    found = _bucket_files().get_file_info(FileSelector(arrow_path(folder), allow_not_found=True))
    return [info.base_name for info in found]


def read(where: Place) -> bytes:
    """What is in a file."""
    if isinstance(where, Path):
        return where.read_bytes()
    with _bucket_files().open_input_stream(arrow_path(where)) as file:
        data: bytes = file.read()
        return data


def make_folder(folder: Place, root: Place) -> None:
    """Makes a folder below `root`, and `root`, durable. S3 has no folders."""
    if isinstance(folder, Bucket) or folder.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    for parent in [folder.parent, *folder.parent.parents]:
        sync(parent)
        if parent == root:
            break


def sync(where: Place) -> None:
    """fsync of a file or a folder. An error is the caller's end: it is never tried again."""
    if isinstance(where, Bucket):
        return
    descriptor = os.open(where, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise SyncError(error.errno, f"fsync failed: {error.strerror}", str(where)) from error
    finally:
        os.close(descriptor)


def away(where: Place, error: OSError) -> bool:
    """True when an error says that the server did not do its part, not that a file is damaged or missing."""
    if isinstance(where, Path) or isinstance(error, FileNotFoundError):
        return False
    return any(word in str(error) for word in ("AWS Error", "Generic S3 error", "error sending request"))
