"""A client that sends a request and reads only what it is told to."""

import asyncio
import socket
from types import TracebackType
from typing import Self

RECEIVE_BUFFER = 4_096  # bytes, so that little of a response is on its way


class UnreadConnection:
    """A connection whose bytes stay where they are until they are read."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._socket.connect(("127.0.0.1", port))
        self._socket.setblocking(False)
        self.received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def send(self, method: str, path: str, **headers: str) -> Self:
        """Send a request without a body."""
        lines = [f"{method} {path} HTTP/1.1", "Host: mission.test"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self._socket.send("\r\n".join([*lines, "", ""]).encode())
        return self

    async def read(self, size: int) -> bytes:
        """Read up to `size` bytes, at least one unless the connection was closed."""
        try:
            part = await asyncio.get_running_loop().sock_recv(self._socket, size)
        except ConnectionResetError:
            part = b""
        self.received += part
        return part

    async def read_status(self) -> int:
        """Read the status of the next response, and nothing else."""
        line = b""
        while len(line) < len(b"HTTP/1.1 200"):
            part = await self.read(len(b"HTTP/1.1 200") - len(line))
            assert part, "the connection was closed"
            line += part
        return int(line.split()[1])

    async def read_until(self, end: bytes) -> bytes:
        """Read everything up to the first `end`, and return it."""
        read = b""
        while not read.endswith(end):
            part = await self.read(65_536)
            assert part, "the connection was closed"
            read += part
        return read

    async def read_until_closed(self) -> int:
        """Read everything, and return how many bytes there were."""
        count = 0
        while part := await self.read(65_536):
            count += len(part)
        return count

    def is_closed(self) -> bool:
        """Return whether the server has closed the connection, without waiting for it."""
        try:
            return not self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True
