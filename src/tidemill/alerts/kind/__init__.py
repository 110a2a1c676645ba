"""What can be watched: a file each, and all of them as one union of their terms."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tidemill.alerts.kind.gap import Gap
from tidemill.alerts.kind.indicator import Indicator
from tidemill.alerts.kind.job import Job
from tidemill.alerts.kind.lag import Lag
from tidemill.alerts.kind.part import Part
from tidemill.alerts.kind.price import Price
from tidemill.alerts.kind.queue import Queue
from tidemill.alerts.kind.stale import Stale
from tidemill.alerts.kind.volume import Volume

Terms = Annotated[
    Price | Indicator | Volume | Stale | Gap | Lag | Queue | Job | Part, Field(discriminator="kind")
]
"""Of one rule: its kind, and what that kind takes."""
