"""SQL over what is stored: read-only, and locked to it."""
