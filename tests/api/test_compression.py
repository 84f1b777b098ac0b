"""Responses are compressed, except small ones, event streams and pages that show a secret."""

import gzip
from collections.abc import AsyncIterator

import pytest
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from core.http.compression import MIN_SIZE, THREAD_SIZE, CompressionMiddleware, zstd

BROWSER = "gzip, deflate, br, zstd"
ENCODINGS = pytest.mark.parametrize(("accepted", "expected"), [("gzip", "gzip"), (BROWSER, "zstd")])


@ENCODINGS
async def test_a_list_is_compressed_for_a_client_that_accepts_it(
    accepted: str, expected: str, alice, world
) -> None:
    path = f"/boards/{world.board.id}/tasks"
    for number in range(5):
        await alice.post(path, json={"title": f"Task {number}"})
    plain = await alice.get(path, headers={"Accept-Encoding": "identity"})
    packed = await alice.get(path, headers={"Accept-Encoding": accepted})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == expected
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert packed.json() == plain.json()
    assert int(packed.headers["Content-Length"]) < len(plain.content) / 2


async def send(path: str, response: Response, encoding: str = "gzip") -> tuple[dict, bytes]:
    """Return the headers and the body of a response that passes through the middleware."""
    sent = []

    async def collect(message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await response(scope, receive, send)

    headers = [(b"accept-encoding", encoding.encode())]
    scope = {"type": "http", "path": path, "method": "GET", "headers": headers}
    await CompressionMiddleware(app)(scope, receive, collect)
    names = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return names, b"".join(message.get("body", b"") for message in sent[1:])


@ENCODINGS
async def test_a_page_is_compressed(accepted: str, expected: str) -> None:
    page = Response(b"a" * MIN_SIZE, media_type="text/html")
    headers, body = await send("/boards", page, accepted)
    assert headers["content-encoding"] == expected
    decompress = {"gzip": gzip.decompress, "zstd": zstd.decompress}[expected]
    assert decompress(body) == b"a" * MIN_SIZE


@ENCODINGS
async def test_a_large_response_is_compressed(accepted: str, expected: str) -> None:
    content = bytes(range(256)) * (2 * THREAD_SIZE // 256)
    headers, body = await send("/audit/export", Response(content), accepted)
    assert headers["content-encoding"] == expected
    decompress = {"gzip": gzip.decompress, "zstd": zstd.decompress}[expected]
    assert decompress(body) == content


@ENCODINGS
async def test_a_response_of_several_parts_is_compressed(accepted: str, expected: str) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(3):
            yield str(number).encode() * MIN_SIZE

    headers, body = await send("/audit/export", StreamingResponse(parts()), accepted)
    assert headers["content-encoding"] == expected
    decompress = {"gzip": gzip.decompress, "zstd": zstd.decompress}[expected]
    assert decompress(body) == b"".join(letter * MIN_SIZE for letter in (b"0", b"1", b"2"))


@ENCODINGS
async def test_a_response_may_begin_with_nothing(accepted: str, expected: str) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for part in (b"", b"a" * MIN_SIZE, b"", b"b"):
            yield part

    headers, body = await send("/audit/export", StreamingResponse(parts()), accepted)
    assert headers["content-encoding"] == expected
    decompress = {"gzip": gzip.decompress, "zstd": zstd.decompress}[expected]
    assert decompress(body) == b"a" * MIN_SIZE + b"b"


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("zstd;q=0, gzip", "gzip"),
        ("gzip ; q=0.000 , ZSTD; q=0.5", "zstd"),
        ("gzip;q=0", None),
        ("zstd; Q=0., identity", None),
        ("x-zstd, gzipped", None),
        ("", None),
        (" " * 20_000 + ";" * 20_000 + "q=0" * 20_000, None),
        ("x;q=0," * 10_000 + "gzip", None),  # too long
        ("x;q=0," * 100 + "gzip", "gzip"),
        ("gzip;q=0." + "0" * 900, None),
    ],
)
async def test_a_refused_encoding_is_not_used(accepted: str, expected: str | None) -> None:
    page = Response(b"a" * MIN_SIZE, media_type="text/html")
    for path in ("/boards", "/api/v1/boards"):
        headers, _body = await send(path, page, accepted)
        assert headers.get("content-encoding") == expected


@pytest.mark.parametrize("path", ["/settings", "/welcome"])
@ENCODINGS
async def test_a_page_that_shows_a_secret_is_not_compressed(
    accepted: str, expected: str, path: str
) -> None:
    secret = Response(b"a" * MIN_SIZE, headers={"Cache-Control": "no-store"})
    headers, body = await send(path, secret, accepted)
    assert "content-encoding" not in headers
    assert body == b"a" * MIN_SIZE


async def test_the_api_is_compressed_although_it_is_not_stored() -> None:
    stored = Response(b"a" * MIN_SIZE, headers={"Cache-Control": "no-store"})
    assert (await send("/api/v1/boards", stored))[0]["content-encoding"] == "gzip"


async def test_small_responses_and_streams_are_not_compressed() -> None:
    small = Response(b"a" * (MIN_SIZE - 1))
    stream = Response(b"a" * MIN_SIZE, media_type="text/event-stream")
    for response in (small, stream):
        assert "content-encoding" not in (await send("/", response))[0]
