"""The nouns: instrument, interval, bar, time. Imports nothing of ours but errors."""
