"""The matrix renders, checks and tests combinations of answers.

``nox -s matrix`` installs its requirements and runs it; see ``python -m tests.matrix --help``.
"""
