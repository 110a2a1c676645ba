"""DTN IQFeed, protocol 6.2: the sockets of IQConnect, and the watchdog that keeps it alive.

docs/iqfeed.md tells of both.
"""

from __future__ import annotations
