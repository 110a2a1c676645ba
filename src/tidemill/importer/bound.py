"""How large, deep and wide a file may be. What is beyond is refused before it is decoded."""

from __future__ import annotations

from typing import Final

from tidemill.errors import ResourceError, UsageError

RATIO_MAX: Final = 200
"""Bytes that one byte of a file may become. Measured bombs have 1,000 and more, tick files 10 to 30."""
FREE_BYTES: Final = 64 << 20
"""So much may come of any file, whatever its ratio."""
LINE_BYTES_MAX: Final = 64 << 10
CELL_BYTES_MAX: Final = 4 << 10
COLUMNS_MAX: Final = 1_000
DEPTH_MAX: Final = 8
MEMBERS_MAX: Final = 1_000
FOOTER_BYTES_MAX: Final = 16 << 20
BATCH_BYTES_MAX: Final = 256 << 20
"""What one piece of a columnar file may become: a row group's column chunk, a record batch."""
BATCH_ROWS: Final = 1 << 16
"""Rows that are decoded at a time. Part of what a chunk of an import is: a change begins all chunks anew."""
INSTRUMENTS_MAX: Final = 64
"""Instruments of one file: each is a commit of its own for every batch."""
QUARANTINE_ROWS_MAX: Final = 10_000
QUARANTINE_TEXT_MAX: Final = 500


def refused(name: str, why: str) -> ResourceError:
    """The error for a file that asks for more than it may have."""
    return ResourceError(
        "import_refused",
        f"{name} was refused: {why}",
        hint="split the file, or write it anew without what was refused (docs/import.md#bounds)",
    )


def unreadable(name: str, why: str) -> UsageError:
    """The error for a file that is damaged, or is none that can be imported."""
    return UsageError(
        "import_unreadable",
        f"{name} cannot be read: {why}",
        hint="CSV (also gz, zip, zst), JSON lines, Parquet and Arrow are taken; docs/import.md",
    )


def allowed(compressed: int) -> int:
    """How many bytes a file of so many may become."""
    return max(FREE_BYTES, compressed * RATIO_MAX)
