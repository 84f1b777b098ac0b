"""Measure the product next to the limit of its stack.

    ./run bench [--quick | --full] [--only NAME] [--minutes N] [--json FOLDER]

The benchmark starts a PostgreSQL of its own with new data. Requests and pages are measured in this
process as ASGI calls, so that HTTP parsing is not part of them; the other parts start servers. A
run without --only and --quick writes its figures into bench/README.md.
Figures of two machines, or of two days, cannot be compared; ratios within one run can.
"""

import argparse
import asyncio
import logging
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import uvloop

from bench import results
from bench.dataset import NO_DATA, QUICK, Scale, create_dataset
from bench.installation import open_database_server
from bench.limit import LIMIT_KIND
from bench.results import Row
from bench.scenarios import LONG, PARTS, PRINTED, Run
from cli.server_process import raise_file_limit

FULL_LOAD = 600  # seconds

log = logging.getLogger(__name__)


async def run_benchmark(options: argparse.Namespace, folder: Path) -> list[Row]:
    """Run the chosen parts, and print a line for each figure."""
    scale = QUICK if options.quick else Scale()
    if options.full:
        scale = replace(scale, load_seconds=FULL_LOAD, subscribers=(1_000, 5_000))
    if options.minutes:
        scale = replace(scale, soak_seconds=60 * options.minutes)
    only, _, word = options.only.partition(":")
    rows: list[Row] = []
    async with open_database_server(folder) as server:
        has_own_data = only == "growth"
        data = NO_DATA if has_own_data else await create_dataset(server, scale)
        for name, part in PARTS.items():
            if only == name or (not only and name not in LONG):
                print(f"\n{name}", flush=True)
                try:
                    measured = await part(Run(server, data, scale, folder, word))
                except Exception:  # the figures of the other parts are not lost
                    log.exception("The part %s has failed.", name)
                    continue
                rows += measured if name in PRINTED else results.print_rows(measured)
    return rows


def main(arguments: list[str]) -> int:
    """Run the benchmark and write its results."""
    raise_file_limit()
    options = _parse_options(arguments)
    machine = results.describe_machine()
    if results.is_machine_busy():
        print(
            f"Warning: the load average is {machine['load_average']}: something else uses this"
            " machine. Only ratios within this run mean something.",
            flush=True,
        )
    folder = Path(tempfile.mkdtemp(prefix="mission-control-bench-"))
    try:
        folder.chmod(0o711)  # PostgreSQL runs with another account if this is root
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            rows = runner.run(run_benchmark(options, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report = results.create_report(rows, machine, LIMIT_KIND)
    if options.json:
        report.write(options.json)
    elif not (options.quick or options.only):
        results.update_readme(report)
        print("\nWritten: the table in bench/README.md")
    return 0


def _parse_options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./run bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument("--quick", action="store_true", help="little data, to see that it works")
    scale.add_argument("--full", action="store_true", help="load for ten minutes, not one")
    parser.add_argument(
        "--only",
        default="",
        metavar="PART[:WORD]",
        help=f"one part of {', '.join(PARTS)}; of calls, those whose name contains WORD; of growth,"
        " one dimension and those whose address contains a word: growth:agents:/dashboard",
    )
    parser.add_argument("--minutes", type=float, metavar="N", help="of the soak; else 15")
    parser.add_argument("--json", type=Path, metavar="FOLDER", help="where to write the results")
    return parser.parse_args(arguments)
