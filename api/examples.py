"""Examples for the OpenAPI document: made of the schemas, so they cannot be out of date."""

from collections.abc import Callable, Mapping
from typing import Any

SCHEMAS = "#/components/schemas/"
DEEPEST = 6  # levels, below which an example is as empty as it may be

BY_FORMAT = {
    "uuid": "0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11",
    "date-time": "2026-11-24T22:28:33.056093Z",
    "date": "2026-11-24",
    "email": "ada@example.com",
    "uri": "https://example.com/",
}
BY_TYPE: Mapping[str, Any] = {"string": "text", "boolean": True, "null": None, "object": {}}


class Examples:
    """Makes examples of schemas that refer to definitions."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions

    def of(self, schema: Mapping[str, Any], depth: int = 0) -> Any:
        """Return something that a schema allows: the first of its own examples, if it has any."""
        for key, pick in KNOWN.items():
            if key in schema:
                return pick(schema[key])
        if "$ref" in schema:
            return self.of(self._definitions[schema["$ref"].removeprefix(SCHEMAS)], depth)
        choices = schema.get("anyOf") or schema.get("oneOf")
        if choices and "properties" not in schema:
            return self.of(choices[-1 if depth > DEEPEST else 0], depth)
        return self._plain(schema, depth)

    def _plain(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type", "object")
        if "properties" in schema:
            return {name: self.of(field, depth + 1) for name, field in schema["properties"].items()}
        if kind == "array":
            one = schema.get("items")
            return [self.of(one, depth + 1)] if one and depth <= DEEPEST else []
        if kind in ("integer", "number"):
            return schema.get("minimum", 1)
        if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
            name = self.of(schema.get("propertyNames", {"examples": ["name"]}))
            return {name: self.of(schema["additionalProperties"], depth + 1)}
        return BY_FORMAT.get(schema.get("format", ""), BY_TYPE[kind])


KNOWN: Mapping[str, Callable[[Any], Any]] = {
    "examples": lambda examples: examples[0],
    "const": lambda value: value,
    "enum": lambda values: values[0],
}
"""What a schema says by itself of the values that it allows."""
