"""From the journals to the stores: every record once, bars, gaps; each batch with its offset.

`tidemill recorder --home DIR` is one process for all venues of a home.
"""

from __future__ import annotations


def main(argv: list[str]) -> int:
    """Runs the recorder until SIGTERM or SIGINT; returns its exit code."""
    from tidemill.recorder.run import main as run

    return run(argv)
