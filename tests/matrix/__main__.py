"""``python -m tests.matrix``: choose combinations, run them, and report."""

import argparse
import math
import os
import platform
import sys
import tempfile
from pathlib import Path

from tests.combinations import (
    Combination,
    all_combinations,
    components,
    covering,
    expected_count,
    sample,
)
from tests.matrix.report import write_reports
from tests.matrix.runner import Matrix, Settings


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="nox -s matrix --",
        description="Render, check and test combinations of answers; by default a covering array.",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--strength", type=positive, default=3, help="any so many answers meet (3)")
    which.add_argument("--all", action="store_true", help="every combination there is")
    which.add_argument("--sample", type=positive, metavar="N", help="so many by chance")
    which.add_argument(
        "--only",
        action="append",
        type=combination,
        metavar="COMBINATION",
        help="just this, such as 'crud,jwt' or 'nothing python_version=3.12'; may be repeated",
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=components(),
        metavar="COMPONENT",
        help="leave out combinations with this; may be repeated",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sample (0)")
    parser.add_argument("--shard", type=shard, default=(1, 1), metavar="I/N", help="one part of N")
    parser.add_argument("--resume", action="store_true", help="keep what passed in the last run")
    parser.add_argument("--fail-fast", action="store_true", help="stop at the first failure")
    parser.add_argument(
        "--jobs", type=positive, default=os.cpu_count() or 1, help="processes at once"
    )
    parser.add_argument("--limit", type=seconds, default=300, help="seconds for one combination")
    parser.add_argument("--report", type=folder, default=Path("matrix-report"), help="folder")
    parser.add_argument("--cache", type=folder, default=Path(".mypy_cache"), help="mypy's folder")
    return parser.parse_args(arguments)


def combination(text: str) -> Combination:
    try:
        return Combination.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return value


def folder(text: str) -> Path:
    """A folder that can be written to; it is made where it is not there."""
    path = Path(text)
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        reason = f"{text!r} is no folder to write to: {error.strerror}"
        raise argparse.ArgumentTypeError(reason) from None
    return path


def shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is no shard; write 3/16 for the third of 16")
    return int(index), int(count)


def select(arguments: argparse.Namespace) -> list[Combination]:
    """The combinations to run, of which a shard has its part."""
    if arguments.only:
        chosen = list(dict.fromkeys(arguments.only))
    elif arguments.all:
        chosen = all_combinations()
        assert len(set(chosen)) == expected_count()
    elif arguments.sample:
        chosen = sample(arguments.sample, arguments.seed)
    else:
        chosen = covering(arguments.strength, arguments.without)
    chosen = [c for c in chosen if not set(arguments.without) & set(c.components)]
    index, count = arguments.shard
    return chosen[index - 1 :: count]


def main() -> int:
    arguments = parse(sys.argv[1:])
    combinations = select(arguments)
    if arguments.without:
        left_out = ", ".join(arguments.without)
        print(f"Left out on Python {platform.python_version()}: {left_out}", flush=True)
    if not combinations:
        index, count = arguments.shard
        sentence = f"Nothing to run: part {index} of {count} is empty. Make fewer parts."
        print(sentence, file=sys.stderr)
        return 2
    matrix = Matrix(
        combinations,
        Settings(
            jobs=arguments.jobs,
            limit=arguments.limit,
            report=arguments.report.resolve(),
            cache=arguments.cache.resolve(),
            resume=arguments.resume,
            fail_fast=arguments.fail_fast,
        ),
    )
    stopped = matrix.run()
    write_reports(matrix, arguments.report)
    for result in matrix.failed:
        print(f"\nFAILED {result.key}: {result.failure}")
        print(f"  its output: {arguments.report / 'logs' / result.log}")
        print(f"  again: nox -s matrix -- --only '{result.key}'")
    if matrix.drift:
        print(f"\nFAILED {matrix.drift}\n  again: nox -s cookiecutter")
    print(f"\n{matrix.summary()}\n  report: {arguments.report / 'index.html'}")
    if stopped:
        print("Stopped. What is done is kept: go on with the same command and --resume.")
        return 130
    return 0 if matrix.complete else 1


if __name__ == "__main__":
    sys.exit(main())
