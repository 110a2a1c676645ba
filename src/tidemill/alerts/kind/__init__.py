"""What can be watched: a file each, and all of them as one union of their terms."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tidemill.alerts.kind.gap import GapAlert
from tidemill.alerts.kind.indicator import IndicatorAlert
from tidemill.alerts.kind.job import JobAlert
from tidemill.alerts.kind.lag import LagAlert
from tidemill.alerts.kind.part import PartAlert
from tidemill.alerts.kind.price import PriceAlert
from tidemill.alerts.kind.queue import QueueAlert
from tidemill.alerts.kind.stale import StaleAlert
from tidemill.alerts.kind.volume import VolumeAlert

Terms = Annotated[
    PriceAlert
    | IndicatorAlert
    | VolumeAlert
    | StaleAlert
    | GapAlert
    | LagAlert
    | QueueAlert
    | JobAlert
    | PartAlert,
    Field(discriminator="kind"),
]
"""Of one rule: its kind, and what that kind takes."""
