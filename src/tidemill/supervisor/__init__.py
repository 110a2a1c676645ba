"""Runs a whole local platform: starts its parts, restarts what dies, stops them in order."""
