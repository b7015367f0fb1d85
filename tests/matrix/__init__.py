"""The matrix: every combination of answers is rendered, checked and tested.

``python -m tests.matrix --help`` says how; ``nox -s matrix`` brings what it needs.
"""
