"""A real server that listens, and what is typed in a terminal to ask it something."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import uvicorn

import app
from kit.settings import Settings


class Server(uvicorn.Server):
    """A server that leaves the signals of the tests alone."""

    def capture_signals(self) -> Any:
        return nullcontext()


@asynccontextmanager
async def serving(settings: Settings) -> AsyncGenerator[str]:
    """Where a real server answers, for as long as the block lasts."""
    config = uvicorn.Config(app.build(settings), port=0, log_config=None)
    server = Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await running


async def typed(command: str, **variables: str) -> str:
    """Return what a command prints in a terminal."""
    return await _printed("bash", None, command, variables)


async def typed_in(folder: Path, command: str, **variables: str) -> str:
    """Return what a command prints to an agent, which has the plainest of shells, in a folder."""
    return await _printed("sh", folder, command, variables)


async def _printed(
    shell: str, folder: Path | None, command: str, variables: Mapping[str, str]
) -> str:
    process = await asyncio.create_subprocess_exec(
        *(shell, "-c", command),
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **variables},
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, errors = await process.communicate()
    assert process.returncode in (0, 28), errors.decode()  # 28: a stream, left after a while
    return printed.decode()
