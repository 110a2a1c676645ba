"""Records on their way to other machines: bus, publisher that fills it, uploader that empties it."""
