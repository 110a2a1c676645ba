"""What may be forgotten at any time: cached answers, and small messages between processes.

Kept in this process, and in Redis as well where `TIDEMILL_REDIS_URL` names one: then several processes share
it. Nothing here is the truth of anything. A Redis that is slow, full, flushed or dead costs speed, never an
answer: `Shared` goes on in process and tries it again by itself.

    cache = Shared(address.named("TIDEMILL_REDIS_URL"), "home-1")
    cache.put("bars:v7:BTC-USD.kraken:1m", body, ttl_s=60)
    cache.subscribe("event", lambda message: …)
"""

from tidemill.cache.api import Cache, Channel, Counts
from tidemill.cache.flight import Flight
from tidemill.cache.memory import Memory
from tidemill.cache.shared import Shared

__all__ = ["Cache", "Channel", "Counts", "Flight", "Memory", "Shared"]
