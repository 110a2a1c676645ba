"""Work longer than a request: what kinds there are, who runs them, and what runs by the clock."""
