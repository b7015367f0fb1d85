"""What the rendered service and its alternatives answer in a second: ``nox -s bench``."""
