"""Versions of the metadata database, oldest first. A file's first four characters are its version."""
