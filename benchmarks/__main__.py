"""Run the benchmarks, write the results, and compare them with the targets."""

import argparse
import sys
from pathlib import Path

from benchmarks import report, results
from benchmarks.measure import Plan, WrongAnswerError, measure
from benchmarks.processes import StartError
from benchmarks.scenarios import SCENARIOS
from benchmarks.systems import OURS, SYSTEMS


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    if not options.report:
        plan = plan_of(options)
        try:
            found = measure(plan)
        except (StartError, WrongAnswerError) as error:
            print(f"benchmarks: {error}", file=sys.stderr)
            return 1
        results.save(found, options.output)
    found = results.load(options.output)
    if options.output == results.LATEST:
        report.write(found)
    else:
        print(f"Results: {options.output}")
    print(report.describe(found))
    return 1 if found.errors else 0


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="nox -s bench --", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less precise, in under five minutes")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[system.name for system in SYSTEMS],
        metavar="SYSTEM",
        help="compare with these systems only",
    )
    parser.add_argument(
        "--scenarios",
        nargs="+",
        choices=[scenario.name for scenario in SCENARIOS],
        metavar="SCENARIO",
        help="run these scenarios only",
    )
    parser.add_argument("--rounds", type=int, help="number of rounds per launch")
    parser.add_argument("--launches", type=int, help="number of times to start the servers")
    parser.add_argument("--seconds", type=float, help="duration of the load in each round")
    parser.add_argument("--seed", type=int, default=1, help="seed of the order within a round")
    parser.add_argument(
        "--output",
        type=Path,
        help="results file; by default in the cache, or in benchmarks/results with --publish",
    )
    parser.add_argument(
        "--publish", action="store_true", help="update the results, the chart and both READMEs"
    )
    parser.add_argument(
        "--report", action="store_true", help="update the chart and both READMEs from the results"
    )
    parser.add_argument("--cache", type=Path, default=Path(".nox") / "bench", help="cache folder")
    options = parser.parse_args(arguments)
    if options.publish and (options.only or options.scenarios):
        parser.error("--publish requires a complete run: omit --only and --scenarios")
    published = options.publish or options.report
    options.output = options.output or (
        results.LATEST if published else options.cache / "latest.json"
    )
    return options


def plan_of(options: argparse.Namespace) -> Plan:
    quick = options.quick
    return Plan(
        systems=[
            system for system in SYSTEMS if not options.only or system.name in (OURS, *options.only)
        ],
        scenarios=[
            scenario
            for scenario in SCENARIOS
            if not options.scenarios or scenario.name in options.scenarios
        ],
        rounds=options.rounds or (3 if quick else 2),
        launches=options.launches or (1 if quick else 3),
        seconds=options.seconds or (0.4 if quick else 2.0),
        bursts=2 if quick else 4,
        seed=options.seed,
        quick=quick,
        cache=options.cache.resolve(),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
