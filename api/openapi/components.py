"""Components of the OpenAPI document for what its operations repeat.

Most of the document would be the same errors and parameters otherwise, once for each operation.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pydantic_core
from pydantic import TypeAdapter

from api.framework.fields import Timestamp
from core.canonical_json import format_canonical_json

SCHEMAS = "#/components/schemas/"

REFERENCE = re.compile(f'"{SCHEMAS}([^"]+)"')

Place = tuple[dict[str, Any] | list[Any], Any, str]
"""A container in the document, the key of a value in it, and the name of a component for it."""


def share_components(document: dict[str, Any]) -> None:
    """Replace examples, parameters and responses that repeat by references to components.

    The order matters: a response is compared when its examples are references. Examples of
    successful responses are left out: they are made of the schemas alone.
    """
    components = document["components"]
    components["schemas"] = _share_timestamps(components["schemas"])
    if "Timestamp" in list_references(components["schemas"]):
        components["schemas"]["Timestamp"] = TIMESTAMP
    operations = [one for path in document["paths"].values() for one in path.values()]
    for operation in operations:
        for status, response in operation["responses"].items():
            if status < "300":
                for content in response.get("content", {}).values():
                    content.pop("example", None)
    for kind, list_places in SHARED.items():
        places = [place for operation in operations for place in list_places(operation)]
        components[kind] = _share(places, f"#/components/{kind}/")


TIMESTAMP = TypeAdapter(Timestamp).json_schema(mode="serialization")


def _share_timestamps(value: Any) -> Any:
    """Replace the schema of times, which most responses have, by a reference."""
    if isinstance(value, list):
        return [_share_timestamps(one) for one in value]
    if not isinstance(value, dict):
        return value
    if value == TIMESTAMP:
        return {"$ref": f"{SCHEMAS}Timestamp"}
    return {key: _share_timestamps(one) for key, one in value.items()}


def select_reachable(definitions: Mapping[str, Any], part: object) -> dict[str, Any]:
    """Return the schemas to which a part of the document refers, and those to which these refer."""
    found: set[str] = set()
    pending = list_references(part)
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending |= list_references(definitions[name])
    return {name: schema for name, schema in definitions.items() if name in found}


def list_references(value: object) -> set[str]:
    """Return the names of the schemas to which a part of the document refers."""
    return set(REFERENCE.findall(pydantic_core.to_json(value).decode()))


def _list_examples(operation: Mapping[str, Any]) -> Iterator[Place]:
    for response in operation["responses"].values():
        for content in response.get("content", {}).values():
            for name in content.get("examples", {}):
                yield content["examples"], name, name


def _list_parameters(operation: Mapping[str, Any]) -> Iterator[Place]:
    parameters = operation["parameters"]
    for number, parameter in enumerate(parameters):
        yield parameters, number, re.sub(r"\W", "", parameter["name"])


def _list_responses(operation: Mapping[str, Any]) -> Iterator[Place]:
    responses = operation["responses"]
    for status, response in responses.items():
        name = status
        if status < "300":
            schemas = [content["schema"] for content in response.get("content", {}).values()]
            name = schemas[0].get("$ref", "").removeprefix(SCHEMAS) if schemas else ""
        yield responses, status, name


SHARED: Mapping[str, Callable[[Mapping[str, Any]], Iterator[Place]]] = {
    "examples": _list_examples,
    "parameters": _list_parameters,
    "responses": _list_responses,
}


def _share(places: list[Place], prefix: str) -> dict[str, Any]:
    """Replace equal values by references, and return the components.

    Different values of one name are numbered from the most frequent one on.
    """
    texts = [format_canonical_json(container[key]) for container, key, _ in places]
    counts = Counter(zip((name for _, _, name in places), texts, strict=True))
    names: dict[tuple[str, str], str] = {}
    numbers: Counter[str] = Counter()
    for (name, text), count in counts.most_common():
        if count > 1 and name:
            numbers[name] += 1
            names[name, text] = name if numbers[name] == 1 else f"{name}-{numbers[name]}"
    components: dict[str, Any] = {}
    for (container, key, name), text in zip(places, texts, strict=True):
        if component := names.get((name, text)):
            components[component] = container[key]
            container[key] = {"$ref": prefix + component}
    return dict(sorted(components.items()))
