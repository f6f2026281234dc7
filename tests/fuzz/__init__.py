"""Fuzzing: what arrives from outside, byte by byte, against the properties that hold for whatever arrives.

Each module is one target: `consume(data)` raises where a property does not hold, and `seeds()` are inputs to begin with.
`python -m fuzz` runs them under atheris, guided by coverage; the test suite runs the same functions for a moment.
"""
