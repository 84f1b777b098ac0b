"""The sums of the metrics of several processes, of which some die."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from core.metrics import MetricsFolder

ROOT = Path(__file__).parents[2]
CHILD = """
import asyncio, sys
from pathlib import Path
from core.metrics import OPEN_STREAMS, MetricsFolder, count_request

async def main():
    folder = MetricsFolder(Path(sys.argv[1]))
    async with folder.share():
        OPEN_STREAMS.set(1)
        for _ in range(int(sys.argv[2])):
            count_request("/boards", "GET", 200, 0.2)
        folder.publish()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""
START = Callable[[int], subprocess.Popen[str]]


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[START]:
    with ExitStack() as stack:

        def start(count: int) -> subprocess.Popen[str]:
            words = [sys.executable, "-c", CHILD, str(tmp_path), str(count)]
            pipe = subprocess.PIPE
            process = stack.enter_context(
                subprocess.Popen(words, cwd=ROOT, text=True, stdin=pipe, stdout=pipe)
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            return process

        yield start


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def read_files(data_dir: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in data_dir.glob("metrics/*")}


def read_sums(folder: MetricsFolder) -> tuple[float, float, float]:
    """Return the requests, the observed durations, and the open streams."""
    samples = [one for metric in folder.collect().to_metrics() for one in metric.samples]

    def find(name: str, **labels: str) -> float:
        found = [one for one in samples if one.name == f"mission_control_{name}"]
        return sum(one.value for one in found if labels.items() <= one.labels.items())

    requests = find("requests_total", route="/boards", status="2xx")
    durations = find("request_seconds_bucket", route="/boards", le="0.25")
    return requests, durations, find("open_streams")


async def test_counts_of_a_killed_process_stay_and_its_gauges_go(
    tmp_path: Path, start_process: START
) -> None:
    folder = MetricsFolder(tmp_path)
    async with folder.share():
        before = read_sums(folder)
        killed, ended, living = start_process(3), start_process(4), start_process(5)

        def increase() -> list[float]:
            return [now - then for now, then in zip(read_sums(folder), before, strict=True)]

        assert increase() == [12, 12, 3]
        assert folder.count_processes() == 4
        kill(killed)
        ended.communicate("\n")
        for _ in range(3):  # nothing counts twice
            assert increase() == [12, 12, 1]
        assert folder.count_processes() == 2
        assert len(list((tmp_path / "metrics").glob("*.lock"))) == 2
        kill(living)


async def test_a_kill_while_counts_are_added_up_counts_nothing_twice(
    tmp_path: Path, start_process: START
) -> None:
    folder = MetricsFolder(tmp_path)
    async with folder.share():
        before = read_sums(folder)[0]
        kill(start_process(3))
        kept = read_files(tmp_path)
        assert read_sums(folder)[0] - before == 3
        for path in kept.keys() - read_files(tmp_path).keys():
            path.write_bytes(kept[path])  # as if it was killed before it removed them
        assert read_sums(folder)[0] - before == 3
        assert read_sums(folder)[0] - before == 3


async def test_counts_begin_at_zero_when_an_installation_starts(
    tmp_path: Path, start_process: START
) -> None:
    kill(start_process(3))
    folder = MetricsFolder(tmp_path)
    async with folder.share():
        assert sum(path.suffix == ".json" for path in read_files(tmp_path)) == 1


async def test_a_folder_that_cannot_be_written_leaves_the_own_values(tmp_path: Path) -> None:
    (tmp_path / "metrics").write_text("a file")
    folder = MetricsFolder(tmp_path)
    async with folder.share():
        assert "mission_control_open_streams" in {one.name for one in folder.collect().to_metrics()}
