"""A real server, and shell commands that call it."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

import app
from core.config.settings import Settings


class Server(uvicorn.Server):
    """A server that does not handle the signals of the tests."""

    def capture_signals(self) -> Any:
        return nullcontext()


@asynccontextmanager
async def run_server(settings: Settings) -> AsyncGenerator[str]:
    """Run a server for the duration of the block, and yield its URL."""
    async with run_application(app.build_app(settings)) as url:
        yield url


@asynccontextmanager
async def run_application(application: ASGIApp, port: int = 0) -> AsyncGenerator[str]:
    """Do the same for an application that is built."""
    config = uvicorn.Config(application, port=port, log_config=None)
    server = Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await running


async def run_bash(command: str, **variables: str) -> str:
    """Run a command in bash, and return its output."""
    return await _run("bash", None, command, variables)


async def run_sh_in(folder: Path, command: str, **variables: str) -> str:
    """Run a command in a folder with sh, the agents' shell, and return its output."""
    return await _run("sh", folder, command, variables)


async def _run(shell: str, folder: Path | None, command: str, variables: Mapping[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *(shell, "-c", command),
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **variables},
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode in (0, 28), errors.decode()  # 28: the timeout of a stream
    return output.decode()
