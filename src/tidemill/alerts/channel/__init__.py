"""Where a firing is told, besides the event and the history: a file each."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tidemill.alerts.channel.mail import Mail
from tidemill.alerts.channel.webhook import Webhook

Channel = Annotated[Webhook | Mail, Field(discriminator="channel")]
