"""Calculate what a workload needs, from figures that `./run bench` has measured.

    python -m bench.capacity --agents 1000 --boards 200

The figures are in inputs.json: CPU of the server and of the database for each kind of request, and
bytes that a change leaves. The calculation assumes that CPU grows with the number of requests, and
plans for the peak of a day. docs/scaling.md has an example.
"""

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

INPUTS_FILE = Path(__file__).with_name("inputs.json")
DOCUMENT = Path(__file__).parents[1] / "docs/scaling.md"
BEGIN, END = "<!-- The example is written by ./run bench. -->", "<!-- End of the example. -->"

UTILIZATION = 0.6  # of a core at the peak, so that requests do not wait for each other
CONNECTIONS = 24  # of a process to the database: DB_POOL_SIZE + 5 + those that read, listen, work
HOUR, DAY = 3600, 86_400  # seconds
DAYS_OF_MONTH = 30
TINY = 1e-9  # instead of zero


@dataclass(frozen=True)
class Cost:
    """What one request of a kind uses, and what it leaves in the database."""

    server_ms: float  # of CPU
    database_ms: float  # of CPU
    stored_bytes: float = 0.0  # rows with their indexes
    log_bytes: float = 0.0  # of the write-ahead log


@dataclass(frozen=True)
class Inputs:
    """The measured figures."""

    commit: str
    measured_at: str  # UTC
    machine: Mapping[str, Any]
    costs: Mapping[str, Cost]  # by kind: those of `Workload.list_rates`
    delivery_ms: float  # of CPU, to write an event to a subscriber
    subscriber_core: float  # that an open stream at rest uses
    subscriber_kb: float
    process_mb: float  # of a server without load
    connection_mb: float  # of PostgreSQL
    organization_changes: float  # a second, that the database orders in one organization

    @classmethod
    def load(cls, file: Path = INPUTS_FILE) -> "Inputs":
        """Read the figures."""
        values = json.loads(file.read_text())
        costs = {kind: Cost(**cost) for kind, cost in values["costs"].items()}
        return cls(**values | {"costs": costs})

    def write(self, file: Path = INPUTS_FILE) -> None:
        """Store the figures, with three significant digits."""
        values = asdict(self)
        machine = values.pop("machine")
        values = {**_shorten(values), "machine": machine}
        file.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n")


def _shorten(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shorten(one) for key, one in value.items()}
    return float(f"{value:.3g}") if isinstance(value, float) else value


@dataclass(frozen=True)
class Workload:
    """What agents and people do. All figures are those of an average hour of work."""

    agents: int = 100
    boards: int = 20
    organizations: int = 1
    people: int = 20  # with a board open
    subscribers: int = 0  # of the streams of the API, each of one board
    heartbeat_seconds: float = 60.0
    changes: float = 12.0  # of an agent an hour: half of them comments, half of the status
    reads: float = 12.0  # of an agent an hour: its list of tasks
    pages: float = 30.0  # that a person opens an hour
    hours: float = 24.0  # of work a day
    peak: float = 3.0  # times the average

    def list_rates(self) -> dict[str, float]:
        """Return the requests a second by kind."""
        changes = self.agents * self.changes / HOUR
        return {
            "heartbeat": self.agents / self.heartbeat_seconds,
            "read": self.agents * self.reads / HOUR,
            "status": changes / 2,
            "comment": changes / 2,
            "page": self.people * self.pages / HOUR,
            "card": changes * self.people / self.boards,  # each open board loads what has changed
        }

    @property
    def changes_a_second(self) -> float:
        """The changes of all agents together."""
        return self.agents * self.changes / HOUR

    @property
    def deliveries_a_second(self) -> float:
        """The events that are written to subscribers and open pages."""
        return self.changes_a_second * (self.subscribers + self.people) / self.boards


@dataclass(frozen=True)
class Need:
    """What a workload needs."""

    rates: Mapping[str, float]  # a second on average, by kind
    server_cores: float  # in use at the peak
    database_cores: float  # in use at the peak
    processes: int
    server_mb: float
    database_mb: float  # for connections
    week_bytes: float  # that the last week has left, which should fit in memory
    month_bytes: float
    log_bytes: float  # a second at the peak, written to the disk
    events_a_day: float
    organization_share: float  # of the changes that can be ordered in one organization, at the peak


def calculate_need(inputs: Inputs, load: Workload) -> Need:
    """Return what a workload needs."""
    rates = load.list_rates()
    streams = load.subscribers + load.people
    server = sum(rate * inputs.costs[kind].server_ms for kind, rate in rates.items())
    server += load.deliveries_a_second * inputs.delivery_ms
    database = sum(rate * inputs.costs[kind].database_ms for kind, rate in rates.items())
    stored = sum(rate * inputs.costs[kind].stored_bytes for kind, rate in rates.items())
    logged = sum(rate * inputs.costs[kind].log_bytes for kind, rate in rates.items())
    cores = load.peak * server / 1000 + streams * inputs.subscriber_core
    processes = max(1, math.ceil(cores / UTILIZATION))
    stored_a_day = stored * load.hours * HOUR
    changes = load.changes_a_second * load.peak / load.organizations
    return Need(
        rates=rates,
        server_cores=cores,
        database_cores=load.peak * database / 1000,
        processes=processes,
        server_mb=processes * inputs.process_mb + streams * inputs.subscriber_kb / 1000,
        database_mb=processes * CONNECTIONS * inputs.connection_mb,
        week_bytes=7 * stored_a_day,
        month_bytes=DAYS_OF_MONTH * stored_a_day,
        log_bytes=load.peak * logged,
        events_a_day=load.changes_a_second * load.hours * HOUR,
        organization_share=changes / inputs.organization_changes,
    )


def describe_need(inputs: Inputs, load: Workload, cores: int) -> str:
    """Return the need as text; `cores` are those of the largest machine for the database."""
    need = calculate_need(inputs, load)
    lines = [
        f"agents {load.agents:,}, boards {load.boards:,}, organizations {load.organizations:,},"
        f" people {load.people:,}, subscribers {load.subscribers:,}",
        "",
        f"{'':10} {'a second':>10} {'server':>10} {'database':>10}",
    ]
    for kind, rate in need.rates.items():
        cost = inputs.costs[kind]
        server, database = f"{cost.server_ms:.2f} ms", f"{cost.database_ms:.2f} ms"
        lines.append(f"{kind:10} {rate:10,.2f} {server:>10} {database:>10}")
    delivery = f"{inputs.delivery_ms:.3f} ms"
    lines.append(f"{'delivery':10} {load.deliveries_a_second:10,.2f} {delivery:>10}")
    lines += [
        "",
        f"At {load.peak:g} times the average:",
        f"  servers    {need.server_cores:.2f} cores in use; processes {need.processes:,},"
        f" {need.server_mb:,.0f} MB",
        f"  database   {need.database_cores:.2f} cores in use, {need.log_bytes / 1e6:,.2f} MB of"
        f" log a second, {need.processes * CONNECTIONS:,} connections ({need.database_mb:,.0f} MB)",
        f"  data       {need.events_a_day:,.0f} changes a day, {need.month_bytes / 1e9:,.1f} GB a"
        f" month; {need.week_bytes / 1e9:,.1f} GB in memory for the last week",
        "",
        f"With a database of {cores} cores, this load can grow",
        *(
            f"  {factor:8,.1f} times, to {load.agents * factor:,.0f} agents and"
            f" {need.events_a_day * factor:,.0f} changes a day, until\n           {limit}"
            for limit, factor in _list_limits(need, cores)
        ),
    ]
    return "\n".join(lines)


def _list_limits(need: Need, cores: int) -> list[tuple[str, float]]:
    """Return what saturates, and at how many times the load; the first is the limit."""
    limits = {
        f"the database uses {UTILIZATION:.0%} of its cores": (
            cores * UTILIZATION / max(need.database_cores, TINY)
        ),
        f"an organization makes {UTILIZATION:.0%} of the changes that can be ordered": (
            UTILIZATION / max(need.organization_share, TINY)
        ),
    }
    return sorted(limits.items(), key=lambda one: one[1])


EXAMPLE = Workload(agents=1000, boards=200, people=100, subscribers=500)
CORES = 8


def build_example(inputs: Inputs) -> str:
    """Return the example of docs/scaling.md, with its command."""
    words = [
        *("--agents", EXAMPLE.agents, "--boards", EXAMPLE.boards),
        *("--people", EXAMPLE.people, "--subscribers", EXAMPLE.subscribers),
    ]
    command = " ".join(["python -m bench.capacity", *map(str, words)])
    return f"```\n$ {command}\n{describe_need(inputs, EXAMPLE, CORES)}\n```"


def update_document(file: Path = DOCUMENT) -> None:
    """Replace the example in docs/scaling.md by that of the stored figures, which are rounded."""
    before, _, rest = file.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    file.write_text(f"{before}{BEGIN}\n\n{build_example(Inputs.load())}\n\n{END}{after}")


def main(arguments: list[str] | None = None) -> None:
    """Print what the workload of the options needs."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.capacity", description="Calculate what a workload needs."
    )
    default = Workload()
    options = {
        "agents": (_parse_count, ""),
        "boards": (_parse_count, ""),
        "organizations": (_parse_count, "to which the agents belong in equal parts"),
        "people": (int, "with a board open"),
        "subscribers": (int, "of the streams of the API"),
        "heartbeat-seconds": (_parse_positive, "between two heartbeats of an agent"),
        "changes": (float, "of an agent an hour: status and comments"),
        "reads": (float, "of an agent an hour: its list of tasks"),
        "pages": (float, "that a person opens an hour"),
        "hours": (float, "of work a day"),
        "peak": (float, "times the average"),
    }
    for name, (parse, text) in options.items():
        value = getattr(default, name.replace("-", "_"))
        parser.add_argument(
            f"--{name}", type=parse, default=value, metavar="N", help=f"{text} ({value:g})".strip()
        )
    parser.add_argument(
        "--cores", type=_parse_count, default=CORES, metavar="N", help=f"of the database ({CORES})"
    )
    values = vars(parser.parse_args(arguments))
    cores = values.pop("cores")
    print(describe_need(Inputs.load(), Workload(**values), cores))


def _parse_count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _parse_positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


if __name__ == "__main__":
    main()
