"""SQL over what is stored: read-only, and locked to it.

A statement runs in a process of its own (`pool`, `child`), is read by DuckDB itself before it may run
(`statement`), sees datasets as views (`view`) and nothing else (`session`), and ends when it takes too much
(`limit`). `docs/query.md` says what can be asked.
"""
