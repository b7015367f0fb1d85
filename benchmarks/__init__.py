"""Benchmarks of the rendered service and its alternatives: ``nox -s bench``."""
