"""The OpenAPI document, and the page that shows it to people."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pydantic_core
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from api.openapi import document
from api.operations import Operation
from kit.http import settings_of

TOP = Path(__file__).parent.parent

Endpoint = Callable[[Request], Awaitable[Response]]


@cache
def asset(path: str) -> str:
    """Return the address of a file in static/. It changes whenever the file does."""
    print_of_it = hashlib.sha256((TOP / "static" / path).read_bytes()).hexdigest()[:10]
    return f"/static/{path}?v={print_of_it}"


_environment = Environment(
    loader=FileSystemLoader(TOP / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def openapi_of(operations: Sequence[Operation]) -> Endpoint:
    """Make the endpoint that answers with the OpenAPI document."""

    @cache
    def written(server: str) -> bytes:
        return pydantic_core.to_json(document(operations, server))

    async def openapi(request: Request) -> Response:
        body = written(settings_of(request).base_url)
        return Response(body, media_type="application/json")

    return openapi


def reference_of(operations: Sequence[Operation]) -> Endpoint:
    """Make the endpoint that shows the document as a page."""

    @cache
    def drawn(server: str) -> str:
        described = document(operations, server)
        template = _environment.get_template("api_reference.html")
        groups = _groups(described)
        return template.render(asset=asset, document=described, groups=groups, server=server)

    async def reference(request: Request) -> Response:
        return HTMLResponse(drawn(settings_of(request).base_url))

    return reference


def _groups(described: Mapping[str, Any]) -> Mapping[str, list[Mapping[str, Any]]]:
    """Return the operations by their first tag, each with its method and its path."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            shown = {"method": method.upper(), "path": path, **operation}
            groups.setdefault(operation["tags"][0], []).append(shown)
    return groups
