"""Results: one row for each measured figure, a file for each run, and the table in README.md."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- The table is written by ./run bench. -->", "<!-- End of the table. -->"
BUSY_SHARE = 0.3  # of the cores; a machine with a higher load average is not idle


@dataclass(frozen=True)
class Goal:
    """The goal of a figure, and what the original needs, measured on another day."""

    value: float | None = None
    original: str = ""


@dataclass(frozen=True)
class Row:
    """One measured figure; smaller is better unless `at_least` is set."""

    section: str
    name: str
    unit: str
    ours: float
    limit: float | None = None  # in the same unit, measured in the same run
    goal: float | None = None
    goal_ratio: float | None = None  # of ours to the limit
    at_least: bool = False
    original: str = ""
    statements: float | None = None
    round_trips: float | None = None
    round_trips_goal: float | None = None
    details: dict[str, Any] = field(default_factory=dict)
    is_in_table: bool = True

    def with_goal(self, goal: float) -> "Row":
        """Return a copy with a goal."""
        return replace(self, goal=goal)

    @property
    def ratio(self) -> float | None:
        """How many times the limit it is."""
        return self.ours / self.limit if self.limit else None

    @property
    def is_reached(self) -> bool | None:
        """Whether all its goals are reached; None if there is none."""
        value = -self.ours if self.at_least else self.ours
        goal = -self.goal if self.at_least and self.goal is not None else self.goal
        pairs = [
            (value, goal),
            (self.ratio, self.goal_ratio),
            (self.round_trips, self.round_trips_goal),
        ]
        met = [one <= most for one, most in pairs if one is not None and most is not None]
        return all(met) if met else None

    def describe(self) -> str:
        """Return a line for the terminal."""
        cells = [f"{self.name:44}", f"{format_number(self.ours):>9} {self.unit}"]
        if self.limit is not None:
            cells.append(f"limit {format_number(self.limit)}, ratio {format_number(self.ratio)}")
        if self.statements is not None:
            trips = format_number(self.round_trips)
            cells.append(f"{format_number(self.statements)} statements, {trips} round trips")
        cells += [f"{name} {format_number(value)}" for name, value in self.details.items()]
        return "  ".join(cells)


def print_rows(rows: list[Row]) -> list[Row]:
    """Print rows as soon as they are measured, and return them."""
    for row in rows:
        print(row.describe(), flush=True)
    return rows


def format_number(value: Any) -> str:
    """Return a number with two significant digits behind zeros, or a text as it is."""
    if value is None:
        return "-"
    if isinstance(value, str | bool):
        return str(value)
    if isinstance(value, list):
        return str(len(value))
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def describe_machine() -> dict[str, Any]:
    """Return what is needed to judge the figures, without names of hosts, users or folders."""
    return {
        "processor": _read_processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def is_machine_busy() -> bool:
    """Return whether something else uses the machine, judged before the benchmark starts."""
    return os.getloadavg()[0] > BUSY_SHARE * (os.cpu_count() or 1)


def _read_processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")


def find_commit() -> str:
    """Return the short hash of the measured commit, with "-changed" if files differ from it."""
    git = shutil.which("git")
    if git is None:
        return "unknown"

    def run(*arguments: str) -> str:
        found = subprocess.run(  # noqa: S603
            [git, "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False
        )
        return found.stdout.strip()

    changed = run("status", "--porcelain", "--untracked-files=no")
    return (run("rev-parse", "--short=8", "HEAD") or "unknown") + ("-changed" if changed else "")


@dataclass(frozen=True)
class Report:
    """All figures of a run."""

    commit: str
    measured_at: str  # UTC
    command: str
    machine: dict[str, Any]
    limit_kind: str
    rows: list[Row]

    def write(self, folder: Path) -> Path:
        """Write the report into a file that is named by its date and commit."""
        folder.mkdir(parents=True, exist_ok=True)
        stamp = self.measured_at.replace(":", "").replace("-", "")
        file = folder / f"{stamp}-{self.commit}.json"
        rows = [asdict(row) | {"ratio": row.ratio, "reached": row.is_reached} for row in self.rows]
        file.write_text(json.dumps(asdict(self) | {"rows": rows}, indent=1) + "\n")
        return file

    def build_table(self) -> str:
        """Return the results as Markdown."""
        machine = self.machine
        lines = [
            f"`{self.command}`, commit {self.commit}, {self.measured_at} UTC, on {machine['cores']}"
            f" cores ({machine['processor']}), {machine['memory_gib']} GiB, Python"
            f" {machine['python']}, load average {machine['load_average']} at the start. Limit:"
            f" {self.limit_kind}.",
            "",
            "| what | unit | ours | limit | ratio | goal | reached | original | statements /"
            " round trips |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
            *(_build_line(row) for row in self.rows if row.is_in_table),
        ]
        return "\n".join(lines)


def format_now() -> str:
    """Return the time in UTC, to the minute."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M")


def create_report(rows: Sequence[Row], machine: dict[str, Any], limit_kind: str) -> Report:
    """Return the report of the run that ends now."""
    at = format_now()
    command = " ".join(["./run bench", *sys.argv[2:]])
    return Report(find_commit(), at, command, machine, limit_kind, list(rows))


def update_readme(report: Report, file: Path = README) -> None:
    """Replace the table in README.md."""
    before, _, rest = file.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    file.write_text(f"{before}{BEGIN}\n\n{report.build_table()}\n\n{END}{after}")


def _build_line(row: Row) -> str:
    sign = "≥" if row.at_least else "≤"
    goals = [f"{sign} {format_number(row.goal)}"] if row.goal is not None else []
    if row.goal_ratio is not None:
        goals.append(f"ratio ≤ {format_number(row.goal_ratio)}")
    counts = ""
    if row.statements is not None:
        counts = f"{format_number(row.statements)} / {format_number(row.round_trips)}"
        most = row.round_trips_goal
        counts += f" (≤ {format_number(most)})" if most is not None else ""
    cells = [
        row.name,
        row.unit,
        format_number(row.ours),
        format_number(row.limit),
        format_number(row.ratio),
        "; ".join(goals),
        {True: "yes", False: "no", None: ""}[row.is_reached],
        row.original,
        counts,
    ]
    return f"| {' | '.join(cells)} |"
