"""What a series of returns is worth, and how much of that is luck (`docs/stats.md`); indicators of bars
(`docs/indicators.md`).

Everything here takes arrays and gives numbers: no store, no clock, no files. Where a number is not defined
it is None, never 0, NaN or a large stand-in; in an array it is NaN.
"""
