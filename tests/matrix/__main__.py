"""The command line: ``python -m tests.matrix``."""

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
        description="Render, check and test combinations of answers; a covering array by default.",
    )
    selection = parser.add_mutually_exclusive_group()
    selection.add_argument(
        "--strength",
        type=positive,
        metavar="N",
        default=3,
        help="cover all values of any N answers (default: 3)",
    )
    selection.add_argument("--all", action="store_true", help="run all combinations")
    selection.add_argument("--sample", type=positive, metavar="N", help="run N random combinations")
    selection.add_argument(
        "--only",
        action="append",
        type=combination,
        metavar="COMBINATION",
        help="run this one, such as 'crud,jwt' or 'nothing python_version=3.12'; repeatable",
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=components(),
        metavar="COMPONENT",
        help="skip combinations with this component; repeatable",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of --sample (default: 0)")
    parser.add_argument(
        "--shard", type=shard, default=(1, 1), metavar="I/N", help="run part I of N"
    )
    parser.add_argument("--resume", action="store_true", help="skip what passed in the last run")
    parser.add_argument("--fail-fast", action="store_true", help="stop at the first failure")
    parser.add_argument(
        "--jobs", type=positive, default=os.cpu_count() or 1, help="number of parallel processes"
    )
    parser.add_argument("--limit", type=seconds, default=300, help="seconds per combination")
    parser.add_argument(
        "--report", type=folder, default=Path("matrix-report"), help="report folder"
    )
    parser.add_argument(
        "--cache", type=folder, default=Path(".mypy_cache"), help="cache folder of mypy"
    )
    return parser.parse_args(arguments)


def combination(text: str) -> Combination:
    try:
        return Combination.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return value


def folder(text: str) -> Path:
    """A writable folder, which is created if necessary."""
    path = Path(text)
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        reason = f"{text!r} is not a writable folder: {error.strerror}"
        raise argparse.ArgumentTypeError(reason) from None
    return path


def shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a shard; write 3/16 for the third of 16")
    return int(index), int(count)


def select(arguments: argparse.Namespace) -> list[Combination]:
    """The combinations to run in this shard."""
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
        print(f"Skipped on Python {platform.python_version()}: {left_out}", flush=True)
    if not combinations:
        index, count = arguments.shard
        error = f"Nothing to run: part {index} of {count} is empty. Use fewer parts."
        print(error, file=sys.stderr)
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
    interrupted = matrix.run()
    write_reports(matrix, arguments.report)
    for result in matrix.failed:
        print(f"\nFAILED {result.key}: {result.failure}")
        print(f"  output: {arguments.report / 'logs' / result.log}")
        print(f"  reproduce: nox -s matrix -- --only '{result.key}'")
    if matrix.drift:
        print(f"\nFAILED {matrix.drift}\n  update it: nox -s cookiecutter")
    print(f"\n{matrix.summary()}\n  report: {arguments.report / 'index.html'}")
    if interrupted:
        print("Stopped. To continue, repeat the command with --resume.")
        return 130
    return 0 if matrix.complete else 1


if __name__ == "__main__":
    sys.exit(main())
