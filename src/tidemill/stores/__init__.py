"""Where data is kept for good, and how it is read: `api.Store` and what implements it."""
