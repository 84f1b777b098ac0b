"""The schemas of all models in the OpenAPI document, with examples and hints for agents."""

import re
from collections.abc import Callable, Mapping, Sequence
from pydoc import locate
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import CoreModeRef, CoreRef, DefsRef, GenerateJsonSchema

from api.framework.fields import get_component_name
from api.framework.operation import Operation
from api.openapi import errors
from api.openapi.components import SCHEMAS
from api.streams.subscription import ResetMessage
from core.paging import Page
from services import pending_reasons
from services.gateways.runs import RunPhase

RESET = TypeAdapter(ResetMessage)

COMPONENTS: Mapping[type, str] = {
    pending_reasons.PendingReason: "Reason",
    RunPhase: "Phase",
    Page: "LimitOffsetPage_TypeVar_Customized",
}
"""Component names of classes outside the API."""

SCHEMA_HINTS = ("x-llm-intent", "x-when-to-use", "x-required-actor")
"""The hints for agents that models have, too."""


class _SchemaGenerator(GenerateJsonSchema):
    """Name components after the `component` of a model, or its class; fields need no titles."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Return False: the title would be the name of the field again."""
        return False

    def get_defs_ref(self, core_mode_ref: CoreModeRef) -> DefsRef:
        """Return the key of a component: the name of the model or enum for clients."""
        core_ref, mode = core_mode_ref
        renamed = re.sub(r"(?:\w+\.)+\w+(?=:\d)", _rename_component, core_ref)
        return super().get_defs_ref((CoreRef(renamed), mode))


def _rename_component(match: re.Match[str]) -> str:
    module, _, name = match[0].rpartition(".")
    model = locate(match[0])
    if isinstance(model, type):
        name = COMPONENTS.get(model) or get_component_name(model)
    return f"{module}.{name}"


def list_events(operation: Operation) -> Mapping[str, TypeAdapter[Any]]:
    """Return the types of the events of a stream, also of the one that all streams have."""
    events = operation.options.stream_events
    return {**events, "reset": RESET} if events else {}


class Schemas:
    """The JSON schemas of all models."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        inputs: list[tuple[Any, Any, TypeAdapter[Any]]] = [
            (error, "serialization", TypeAdapter(error)) for error in errors.ERROR_MODELS
        ]
        for operation in operations:
            for model in (operation.parser.body, operation.parser.query):
                inputs += [(model, "validation", TypeAdapter(model))] if model else []
            if operation.response_type:
                inputs.append((operation.handler, "serialization", operation.response_type))
            for name, adapter in list_events(operation).items():
                inputs.append(((operation.handler, name), "serialization", adapter))
        self._found, extra = TypeAdapter.json_schemas(
            inputs, ref_template=SCHEMAS + "{model}", schema_generator=_SchemaGenerator
        )
        self.definitions: dict[str, Any] = extra["$defs"]
        self._add_hints(operations)
        for schema in self.definitions.values():
            schema.pop("title", None)  # without it, generators name classes after the component
        self.examples = ExampleGenerator(self.definitions)

    def _add_hints(self, operations: Sequence[Operation]) -> None:
        """Add the hints of an operation for agents to the models that agents use only there.

        A body is also that of the same operation for users; a response often means something else
        in other operations.
        """
        bodies: dict[str, list[Operation]] = {}
        responses: dict[str, list[Operation]] = {}
        for operation in operations:
            schema = self._found.get((operation.handler, "serialization"), {})
            _add_user(responses, schema, operation)
            if operation.parser.body and operation.hints:
                body = self._found[operation.parser.body, "validation"]
                _add_user(bodies, body, operation)
        for name, users in {**responses, **bodies}.items():
            if len({one.hints.get(SCHEMA_HINTS[0]) for one in users}) == 1:
                hints = users[0].hints
                self.definitions[name] |= {hint: hints[hint] for hint in SCHEMA_HINTS if hints}

    def get_schema(self, thing: object, mode: Any = "serialization") -> dict[str, Any]:
        """Return the schema of a model, or of the response of a handler."""
        return self._found[thing, mode]

    def build_content(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the description of JSON content, with an example."""
        return {"application/json": {"schema": schema, "example": self.examples.generate(schema)}}

    def get_fields(self, model: type[BaseModel]) -> tuple[dict[str, Any], set[str]]:
        """Return the schemas of the fields of a model, and the required ones."""
        name = self.get_schema(model, "validation")["$ref"].removeprefix(SCHEMAS)
        schema = self.definitions[name]
        return schema.get("properties", {}), set(schema.get("required", ()))


def _add_user(
    users: dict[str, list[Operation]], schema: Mapping[str, Any], operation: Operation
) -> None:
    """Add an operation to those that use the component of a schema, if it is one."""
    if "$ref" in schema:
        users.setdefault(schema["$ref"].removeprefix(SCHEMAS), []).append(operation)


MAX_DEPTH = 6  # levels; deeper values are as small as possible

BY_FORMAT = {
    "uuid": "0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11",
    "date-time": "2026-11-24T22:28:33.056093Z",
    "date": "2026-11-24",
    "email": "ada@example.com",
    "uri": "https://example.com/",
}
BY_TYPE: Mapping[str, Any] = {"string": "text", "boolean": True, "null": None, "object": {}}


class ExampleGenerator:
    """Generates examples from schemas that refer to definitions."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions

    def generate(self, schema: Mapping[str, Any], depth: int = 0) -> Any:
        """Return a value that a schema allows: its own first example, if it has one."""
        for key, pick in SCHEMA_KEYWORDS.items():
            if key in schema:
                return pick(schema[key])
        if "$ref" in schema:
            return self.generate(self._definitions[schema["$ref"].removeprefix(SCHEMAS)], depth)
        choices = schema.get("anyOf") or schema.get("oneOf")
        if choices and "properties" not in schema:
            return self.generate(choices[-1 if depth > MAX_DEPTH else 0], depth)
        return self._generate_by_type(schema, depth)

    def _generate_by_type(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type", "object")
        if "properties" in schema:
            return {
                name: self.generate(field, depth + 1)
                for name, field in schema["properties"].items()
            }
        if kind == "array":
            one = schema.get("items")
            return [self.generate(one, depth + 1)] if one and depth <= MAX_DEPTH else []
        if kind in ("integer", "number"):
            return schema.get("minimum", 1)
        if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
            name = self.generate(schema.get("propertyNames", {"examples": ["name"]}))
            return {name: self.generate(schema["additionalProperties"], depth + 1)}
        return BY_FORMAT.get(schema.get("format", ""), BY_TYPE[kind])


SCHEMA_KEYWORDS: Mapping[str, Callable[[Any], Any]] = {
    "examples": lambda examples: examples[0],
    "const": lambda value: value,
    "enum": lambda values: values[0],
}
"""Keywords that give an allowed value directly."""
