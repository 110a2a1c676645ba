"""Records on their way to other machines: the bus, the publisher that fills it, and a `Source` that reads it.

`tidemill publisher --bus redis://HOST:6379` is one process for all venues of a home.
"""

from __future__ import annotations


def main(argv: list[str]) -> int:
    """Runs the publisher until SIGTERM or SIGINT; returns its exit code."""
    from tidemill.bus.run import main as run

    return run(argv)
