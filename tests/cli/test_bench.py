"""`./run bench`: the cost of requests next to the limit of the stack."""

import json
from pathlib import Path
from typing import Any

from tests.cli.conftest import run_forked
from tests.support.tiers import repetition


def run_part(folder: Path, part: str) -> tuple[dict[str, Any], str]:
    """Measure a part with little data; return the rows by name, and what was printed."""
    result = run_forked("bench", "--quick", "--only", part, "--json", str(folder))
    assert result.returncode == 0, result.stderr
    [file] = folder.glob("*.json")
    return {row["name"]: row for row in json.loads(file.read_text())["rows"]}, result.stdout


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
    [share, lost] = rows.values()
    assert share["details"]["failed_raw_statements"] == 0
    assert lost["ours"] == 0
    assert share["ours"] > 0


@repetition
def test_open_pages_show_a_renamed_task(tmp_path: Path) -> None:
    rows, _ = run_part(tmp_path, "viewers")
    statements = next(row for name, row in rows.items() if name.endswith("statements"))
    assert statements["ours"] > 0
