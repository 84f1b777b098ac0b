"""`./run bench`: the CPU of requests next to the limit of the stack."""

import json
from pathlib import Path

from tests.cli.conftest import run_command_line


def test_the_benchmark_measures_requests_next_to_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    options = ["--calls", "1", "--tasks", "10", "--only", "tasks?limit", "--json", str(file)]
    result = run_command_line("bench", *options)
    assert result.returncode == 0, result.stderr
    assert "GET tasks?limit=50" in result.stdout
    [measured] = json.loads(file.read_text())
    assert measured["name"] == "GET tasks?limit=50"
    assert measured["cpu_ms"] > 0
    assert measured["statements"] == 3
