"""The collector in Python: for sources without a stream, into the same journal as the native ones."""
