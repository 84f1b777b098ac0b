"""`./run bench`: the cost of requests next to the limit of the stack."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.capacity import DOCUMENT, Inputs, Workload, build_example, calculate_need
from bench.capacity import main as calculate
from bench.soak import find_slope
from tests.cli.conftest import run_forked
from tests.support.tiers import repetition


def run_part(folder: Path, part: str) -> tuple[dict[str, Any], str]:
    """Measure a part with little data; return the rows by name, and what was printed."""
    result = run_forked("bench", "--quick", "--only", part, "--json", str(folder))
    assert result.returncode == 0, result.stderr
    [file] = folder.glob("*.json")
    return {row["name"]: row for row in json.loads(file.read_text())["rows"]}, result.stdout


@repetition
def test_the_benchmark_measures_requests_next_to_the_limit(tmp_path: Path) -> None:
    """The results name neither the machine nor its folders."""
    rows, printed = run_part(tmp_path, "calls:GET tasks?limit=50")
    assert "GET tasks?limit=50" in printed
    [row] = rows.values()
    assert row["ours"] > 0
    assert row["ratio"] == row["ours"] / row["limit"]
    assert row["round_trips"] >= row["statements"] >= 1
    [file] = tmp_path.glob("*.json")
    report = json.loads(file.read_text())
    assert set(report["machine"]) == {
        *("processor", "cores", "memory_gib", "system", "python", "load_average")
    }
    assert "/tmp" not in json.dumps([report["machine"], report["rows"]])


@repetition
def test_raw_statements_of_writers_repeat_what_the_product_did(tmp_path: Path) -> None:
    rows, _ = run_part(tmp_path, "writers")
    [share, lost, *shared] = rows.values()
    assert share["details"]["failed_raw_statements"] == 0
    assert lost["ours"] == 0
    assert share["ours"] > 0
    assert all(row["details"]["writes_a_second"] > 0 for row in shared)
    assert [row["ours"] for row in shared if "processes: 1," in row["name"]] == [1]


@repetition
def test_open_pages_show_a_renamed_task(tmp_path: Path) -> None:
    rows, _ = run_part(tmp_path, "viewers")
    statements = next(row for name, row in rows.items() if name.endswith("statements"))
    assert statements["ours"] > 0


def test_the_example_of_the_document_is_what_its_command_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    example = build_example(Inputs.load())
    assert example in DOCUMENT.read_text()
    command = example.splitlines()[1].removeprefix("$ python -m bench.capacity ")
    calculate(command.split())
    assert capsys.readouterr().out.rstrip("\n") in example


def test_twice_the_boards_and_agents_need_twice_as_much() -> None:
    inputs = Inputs.load()
    one = calculate_need(inputs, Workload(agents=100, boards=20, people=10, subscribers=40))
    two = calculate_need(inputs, Workload(agents=200, boards=40, people=20, subscribers=80))
    for name in ("server_cores", "database_cores", "month_bytes", "organization_share"):
        assert getattr(two, name) == pytest.approx(2 * getattr(one, name)), name


def test_organizations_share_the_changes_that_one_can_order() -> None:
    inputs = Inputs.load()
    one, four = Workload(agents=400), Workload(agents=400, organizations=4)
    share = calculate_need(inputs, one).organization_share
    assert calculate_need(inputs, four).organization_share == pytest.approx(share / 4)


@pytest.mark.parametrize("option", ["--agents=0", "--boards=-1", "--heartbeat-seconds=0"])
def test_a_workload_without_agents_or_boards_is_refused(
    capsys: pytest.CaptureFixture[str], option: str
) -> None:
    with pytest.raises(SystemExit):
        calculate([option])
    assert "must be" in capsys.readouterr().err


def test_the_growth_of_memory_is_the_slope_of_its_samples() -> None:
    assert find_slope([(0, 200), (1, 201), (2, 202)]) == pytest.approx(1)
    assert find_slope([(0, 200), (1, 210), (2, 200)]) == pytest.approx(0)


@repetition
def test_the_soak_names_every_error_and_what_grows(tmp_path: Path) -> None:
    rows, _ = run_part(tmp_path, "soak")
    failures = rows["soak: errors while the database restarts"]["details"]["failures"]
    assert all({"second", "kind", "reason", "number"} == set(one) for one in failures)
    assert rows["soak: heartbeat, p99"]["details"]["number"] > 0
    assert {"soak: growth of connections", "soak: growth of files"} <= set(rows)
