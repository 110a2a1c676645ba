"""The one command, `tidemill`.

Native parts are started before anything heavy is imported, so that a collector is up in milliseconds.
"""

from __future__ import annotations

import sys

from tidemill.cli import lean

NATIVE = ("collector", "relay", "bridge", "sim")


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns its exit code, which follows the error table of docs/api.md."""
    if argv is None:
        lean.without_pandas()
    words = sys.argv[1:] if argv is None else argv
    match words[:1]:
        case ["--version" | "-V" | "version"]:
            from tidemill import __version__

            print(f"tidemill {__version__}")
            return 0
        case [name] if name in NATIVE:
            from tidemill import _native

            return _native.run(words)
        case ["recorder"]:
            from tidemill.recorder import main as recorder

            return recorder(words[1:])
        case ["publisher"]:
            from tidemill.bus import main as publisher

            return publisher(words[1:])
        case ["uploader"]:
            from tidemill.recorder.uploader import main as uploader

            return uploader(words[1:])
        case ["serve"]:
            from tidemill.service import main as serve

            return serve(words[1:])
        case _:
            from tidemill.cli.app import run

            return run(words)
