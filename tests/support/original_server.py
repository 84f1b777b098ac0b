"""Run the original: its migrations, its server, its models, and a gateway that agrees to it all."""

import http.client
import json
import os
import secrets
import subprocess
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from tests.support.installation import find_free_port

START_TIMEOUT = 60  # seconds
REQUEST_TIMEOUT = 60  # seconds
BASE_URL = "http://mission-control.example:8000"

MODEL_PROGRAM = """
import asyncio, json, sys
from uuid import UUID
from app import models
from app.core.agent_tokens import hash_agent_token
from app.db.session import async_session_maker

async def write():
    async with async_session_maker() as session:
        for name, row_id, values in json.load(sys.stdin):
            if "agent_token" in values:
                values["agent_token_hash"] = hash_agent_token(values.pop("agent_token"))
            model = getattr(models, name)
            old = await session.get(model, UUID(row_id)) if row_id else None
            new = model.model_validate({**(old.model_dump() if old else {}), **values})
            for key in values:
                setattr(old or new, key, getattr(new, key))
            session.add(old or new)
            await session.flush()
        await session.commit()

asyncio.run(write())
"""
"""Validates rows with the original's models; without an id, the row is new."""

ModelRow = tuple[str, str | None, dict[str, Any]]


@dataclass
class Original:
    """The original in a folder, with a database."""

    folder: Path
    database_url: str
    identity_file: Path

    def __post_init__(self) -> None:
        self.port = find_free_port()
        self.token = secrets.token_urlsafe(48)

    def run_python(self, *words: str, text: str = "") -> None:
        """Run its Python in its folder until it ends."""
        command = [self.folder / "venv/bin/python", *words]
        done = subprocess.run(
            command,
            cwd=self.folder / "backend",
            env=self._environment(),
            input=text,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    def migrate(self) -> None:
        """Create the schema with its migrations."""
        self.run_python("-m", "alembic", "upgrade", "head")

    def write_rows(self, *rows: ModelRow) -> None:
        """Validate and write rows with its models, in one transaction."""
        self.run_python("-c", MODEL_PROGRAM, text=json.dumps(rows))

    @contextmanager
    def run_server(self) -> Generator[None]:
        """Run its server during the block."""
        words = ("-m", "uvicorn", "app.main:app", "--port", str(self.port), "--no-access-log")
        log = self.identity_file.with_name("original.log").open("w")
        process = subprocess.Popen(
            [self.folder / "venv/bin/python", *words],
            cwd=self.folder / "backend",
            env=self._environment(),
            stdout=log,
            stderr=log,
        )
        try:
            self._wait_until_ready(process)
            yield
        finally:
            process.terminate()
            process.wait(START_TIMEOUT)
            log.close()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + START_TIMEOUT
        while True:
            assert process.poll() is None, "the original has ended"
            with suppress(OSError):
                self.request("GET", "/readyz")
                return
            assert time.monotonic() < end
            time.sleep(0.1)

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        source: str = "127.0.0.1",
    ) -> Any:
        """Call its API; every answer but success is an AssertionError."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=REQUEST_TIMEOUT, source_address=(source, 0)
        )
        content = raw if raw is not None else None if body is None else json.dumps(body).encode()
        given = {"Content-Type": "application/json"} if raw is None else {}
        connection.request(method, path, content, given | dict(headers or {}))
        answer = connection.getresponse()
        received = answer.read()
        connection.close()
        assert answer.status in (200, 202), f"{method} {path}: {answer.status} {received!r:.2000}"
        return json.loads(received)

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "AUTH_MODE": "local",
            "LOCAL_AUTH_TOKEN": self.token,
            "BASE_URL": BASE_URL,
            "DATABASE_URL": self.database_url,
            "DB_AUTO_MIGRATE": "false",
            "RQ_REDIS_URL": f"redis://127.0.0.1:{find_free_port()}/0",  # nobody listens there
            "OPENCLAW_GATEWAY_DEVICE_IDENTITY_PATH": str(self.identity_file),
            "PYTHONPATH": "",
        }


@contextmanager
def run_gateway() -> Generator[str]:
    """Run a gateway of the original's protocol 3 during the block; yield its address."""
    with serve(_agree, "127.0.0.1", 0, max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


def _agree(socket: ServerConnection) -> None:
    payloads = {
        "connect": {"server": {"version": "2026.2.26"}},
        "config.get": {"hash": "c0ffee", "config": {"agents": {"list": []}}},
        "agents.files.list": {"files": []},
        "agents.files.get": {"file": {"content": "A soul"}},
    }
    challenge = {"type": "event", "event": "connect.challenge", "payload": {"nonce": "n-0nce"}}
    with suppress(ConnectionClosed):
        socket.send(json.dumps(challenge))
        for message in socket:
            frame = json.loads(message)
            answer: dict[str, Any] = {"type": "res", "id": frame["id"], "ok": True}
            if frame["method"] == "agents.create":  # otherwise the original waits before it goes on
                answer |= {"ok": False, "error": {"message": "already exists"}}
            socket.send(json.dumps(answer | {"payload": payloads.get(frame["method"], {})}))
