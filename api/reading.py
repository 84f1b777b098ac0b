"""Reading what a caller sends: path, query and body, with all that is wrong said at once."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.datastructures import QueryParams

from api.json import InvalidFields, Sent, unstorable


class Reading:
    """What one operation takes from path, query and body."""

    def __init__(self, path: str, takes: Mapping[str, Any]) -> None:
        rest = dict(takes)
        self.body: type[BaseModel] | None = rest.pop("body", None)
        self.query: type[BaseModel] | None = rest.pop("query", None)
        self.path = {name: TypeAdapter(rest.get(name, UUID)) for name in _names(path)}

    @property
    def body_is_optional(self) -> bool:
        """Whether nothing has to be sent."""
        return self.body is not None and not any(
            field.is_required() for field in self.body.model_fields.values()
        )

    def path_values(self, given: Mapping[str, str]) -> dict[str, Any]:
        """Return the path's parameters. Raises InvalidFields."""
        values, faults = {}, []
        for name, adapter in self.path.items():
            try:
                values[name] = adapter.validate_python(given[name])
            except ValidationError as error:
                faults += _faults(error, "path", name)
        if faults:
            raise InvalidFields(faults)
        return values

    def values(self, query: QueryParams, sent: Sent | None) -> dict[str, Any]:
        """Return what is in query and body. Raises InvalidFields with every fault there is."""
        values: dict[str, Any] = {}
        faults: list[dict[str, Any]] = []
        if self.query:
            values["query"] = _checked(self.query, dict(query), "query", faults)
        if self.body:
            assert sent is not None
            values["body"] = self._body(self.body, sent, faults)
        if faults:
            raise InvalidFields(faults)
        return values

    def _body(
        self, model: type[BaseModel], sent: Sent, faults: list[dict[str, Any]]
    ) -> BaseModel | None:
        if sent.is_missing and self.body_is_optional:
            return model()
        if sent.is_missing:
            missing = {"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}
            faults.append(missing)
            return None
        if "json" not in sent.kind.lower():
            words = f"Send JSON, and call it so: Content-Type: application/json, not {sent.kind}"
            fault = {"type": "model_attributes_type", "loc": ["body"], "msg": words}
            faults.append({**fault, "input": sent.value})
            return None
        return _checked(model, sent.value, "body", faults)


def _checked(
    model: type[BaseModel], value: Any, where: str, faults: list[dict[str, Any]]
) -> BaseModel | None:
    fault = unstorable(value)
    if fault is not None:
        place, reason = fault
        loc = [where, *place]
        faults.append({"type": "value_error", "loc": loc, "msg": reason, "input": None})
        return None
    try:
        return model.model_validate(value, from_attributes=True)
    except ValidationError as error:
        faults += _faults(error, where)
        return None


def _faults(error: ValidationError, *where: str) -> list[dict[str, Any]]:
    errors = error.errors(include_url=False)
    return [{**fault, "loc": [*where, *fault["loc"]]} for fault in errors]


def _names(path: str) -> list[str]:
    return [part[1:].partition("}")[0] for part in path.split("/") if part.startswith("{")]
