"""Strategies: what one is (`api`), its parameters and signals, and the examples, a file each."""
