"""``python -m benchmarks``: measure, write the results, and say how the promises fare."""

import argparse
import sys
from pathlib import Path

from benchmarks import report, results
from benchmarks.measure import Plan, WrongAnswerError, measure
from benchmarks.processes import StartError
from benchmarks.scenarios import SCENARIOS
from benchmarks.systems import OURS, SYSTEMS


def main(arguments: list[str]) -> int:
    given = parse(arguments)
    if not given.report:
        plan = plan_of(given)
        try:
            found = measure(plan)
        except (StartError, WrongAnswerError) as error:
            print(f"benchmarks: {error}", file=sys.stderr)
            return 1
        results.save(found, given.output)
    found = results.load(given.output)
    if given.output == results.LATEST:
        report.write(found)
    else:
        print(f"{given.output} has the results")
    print(report.describe(found))
    return 1 if found.errors else 0


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="nox -s bench --", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under five minutes, and rougher")
    parser.add_argument(
        "--only", nargs="+", choices=[one.name for one in SYSTEMS], metavar="SYSTEM"
    )
    parser.add_argument(
        "--scenarios", nargs="+", choices=[one.name for one in SCENARIOS], metavar="SCENARIO"
    )
    parser.add_argument("--rounds", type=int, help="of each start of the servers")
    parser.add_argument("--launches", type=int, help="how often the servers are started")
    parser.add_argument("--seconds", type=float, help="of load in each round")
    parser.add_argument("--seed", type=int, default=1, help="of the order in a round")
    parser.add_argument(
        "--output",
        type=Path,
        help="for the results; by default in the cache, or with --publish in benchmarks/results",
    )
    parser.add_argument(
        "--publish", action="store_true", help="write the results, the chart and both READMEs"
    )
    parser.add_argument(
        "--report", action="store_true", help="write the chart and both READMEs again"
    )
    parser.add_argument(
        "--cache", type=Path, default=Path(".nox") / "bench", help="for the environments"
    )
    given = parser.parse_args(arguments)
    if given.publish and (given.only or given.scenarios):
        parser.error("publish a whole run, without --only and --scenarios")
    published = given.publish or given.report
    given.output = given.output or (results.LATEST if published else given.cache / "latest.json")
    return given


def plan_of(given: argparse.Namespace) -> Plan:
    quick = given.quick
    return Plan(
        systems=[one for one in SYSTEMS if not given.only or one.name in (OURS, *given.only)],
        scenarios=[one for one in SCENARIOS if not given.scenarios or one.name in given.scenarios],
        rounds=given.rounds or (3 if quick else 2),
        launches=given.launches or (1 if quick else 3),
        seconds=given.seconds or (0.4 if quick else 2.0),
        bursts=2 if quick else 4,
        seed=given.seed,
        quick=quick,
        cache=given.cache.resolve(),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
