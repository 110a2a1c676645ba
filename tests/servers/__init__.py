"""Real servers that tests start themselves: PostgreSQL with and without TimescaleDB, Redis, Kafka, S3.

Each is found on this machine or unpacked into `.cache`, listens on loopback or a socket alone, and goes with
the process that started it. What is not to be had makes its tests skip, and say so.
"""
