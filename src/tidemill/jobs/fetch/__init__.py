"""History from providers, chunk by chunk: what is to be fetched, what that will take, and the fetching."""
