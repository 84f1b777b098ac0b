"""The OpenAPI document: what agents and other clients read to know what can be asked.

It is made of the same list of operations that answers the requests, so it cannot say another thing.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter

from api import errors
from api.error_examples import examples
from api.examples import SCHEMAS, Examples
from api.headers import HEADERS, answered, sent
from api.operations import PREFIX, Operation
from api.parameters import in_path, in_query
from api.security import SCHEMES, SECURITY

TITLE = "Mission Control API"
VERSION = "0.1.0"

PROBES = {
    "/health": "Say whether the process lives",
    "/healthz": "Say whether the process lives",
    "/readyz": "Say whether requests can be served",
}


def document(operations: Sequence[Operation], server: str = "/") -> dict[str, Any]:
    """Return the whole document."""
    schemas = _Schemas(operations)
    paths: dict[str, dict[str, Any]] = {path: {"get": _probe(path)} for path in PROBES}
    for operation in operations:
        described = _described(operation, schemas)
        paths.setdefault(PREFIX + operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION, "description": ABOUT},
        "servers": [{"url": server}],
        "paths": paths,
        "components": {
            "schemas": schemas.definitions,
            "headers": HEADERS,
            "securitySchemes": SCHEMES,
        },
    }


MESSAGE = 'event: task\nid: 17\ndata: {"type":"task.created"}\n\n'
"""What a stream is made of; the names and the data are told in the descriptions."""

ABOUT = """How agents, and people's scripts, work with Mission Control.

Every answer carries `X-Request-Id`. Every error is `{"detail", "code", "request_id"}`. Times are
UTC without a zone. Lists are `{"items", "total", "limit", "offset"}`. Fields that are not known are
passed over.
"""


class _Schemas:
    """The JSON schemas of all models, and where each is found."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        inputs: list[tuple[Any, Any, TypeAdapter[Any]]] = [
            (error, "serialization", TypeAdapter(error)) for error in errors.MODELS
        ]
        for operation in operations:
            for model in (operation.reads.body, operation.reads.query):
                inputs += [(model, "validation", TypeAdapter(model))] if model else []
            if operation.gives:
                inputs.append((operation.handler, "serialization", operation.gives))
        self._found, extra = TypeAdapter.json_schemas(inputs, ref_template=SCHEMAS + "{model}")
        self.definitions: dict[str, Any] = extra["$defs"]
        self.examples = Examples(self.definitions)

    def of(self, thing: object, mode: Any = "serialization") -> dict[str, Any]:
        """Return the schema of an answer, by its handler, or of a model."""
        return self._found[thing, mode]

    def content(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return how JSON of a schema is described, with an example of it."""
        return {"application/json": {"schema": schema, "example": self.examples.of(schema)}}

    def fields(self, model: type[BaseModel]) -> tuple[dict[str, Any], set[str]]:
        """Return the schemas of a model's fields, and which of them are required."""
        name = self.of(model, "validation")["$ref"].removeprefix(SCHEMAS)
        schema = self.definitions[name]
        return schema.get("properties", {}), set(schema.get("required", ()))


def _described(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    body = operation.reads.body
    return {
        "tags": list(operation.tags),
        "summary": operation.summary,
        "description": operation.description,
        "operationId": operation.operation_id,
        "parameters": [
            *in_path(operation, schemas.examples),
            *_query_parameters(operation, schemas),
            *sent(operation),
        ],
        **({"requestBody": _request_body(operation, schemas)} if body else {}),
        "responses": {
            "200": _success(operation, schemas) | answered(200, operation),
            **_unchanged(operation),
            **_failures(operation, schemas),
        },
        "security": SECURITY[operation.caller],
        **operation.hints,
    }


def _probe(path: str) -> dict[str, Any]:
    ok = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    content = {"content": {"application/json": {"schema": ok, "example": {"ok": True}}}}
    failing = {"503": {"description": "Not now", **content}} if path == "/readyz" else {}
    return {
        "tags": ["health"],
        "summary": PROBES[path],
        "description": PROBES[path],
        "operationId": f"{path[1:]}_{path[1:]}_get",
        "parameters": [],
        "responses": {"200": {"description": "Yes", **content}, **failing},
        "security": [],
    }


def _query_parameters(operation: Operation, schemas: _Schemas) -> Iterable[dict[str, Any]]:
    if operation.reads.query is None:
        return ()
    return in_query(*schemas.fields(operation.reads.query), schemas.examples)


def _request_body(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    schema = schemas.of(operation.reads.body, "validation")
    required = not operation.reads.body_is_optional
    return {"required": required, "content": schemas.content(schema)}


def _success(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    if operation.gives is None:
        return {
            "description": "As it happens",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": MESSAGE}},
        }
    return {"description": "Done", "content": schemas.content(schemas.of(operation.handler))}


def _unchanged(operation: Operation) -> dict[str, Any]:
    if operation.method != "GET" or not operation.has_versions:
        return {}
    return {"304": {"description": "It is as you have it", **answered(304, operation)}}


def _failures(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    return {
        str(status): {
            "description": errors.MEANING[status],
            "content": {
                "application/json": {
                    "schema": schemas.of(errors.model(status, operation)),
                    "examples": examples(status, operation),
                }
            },
            **answered(status, operation),
        }
        for status in errors.statuses(operation)
    }
