"""What one run in the sandbox may use."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Bounds of one run; each that is met ends it with an error of its own (docs/sandbox.md)."""

    wall_s: float = 60.0
    """Seconds of the clock, from the request to the answer."""
    cpu_s: float = 60.0
    """Seconds of processor time of all its processes together."""
    cores: float = 2.0
    """How many cores it may keep busy at once; needs a control group."""
    memory_bytes: int = 2048 * MIB
    """Memory of all its processes together, temporary files included. Without a control group: of each."""
    pids: int = 64
    """Processes and threads at once."""
    disk_bytes: int = 64 * MIB
    """Room in its /tmp, which is memory and goes with it."""
    log_bytes: int = MIB
    """What is kept of what it prints; the rest is counted."""
    flood_bytes: int = 64 * MIB
    """What it may print at all."""
    answer_bytes: int = 64 * MIB
    """Size of its answer and of what it tells on the way, together."""
