"""Reading what a caller sends: path, query and body, with all that is wrong said at once."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.datastructures import QueryParams

from api.json import Sent, first_nul
from kit.errors import Refusal

NUL = "Text must not contain the character NUL."


class InvalidFields(Refusal):
    """Fields that are not as they must be, each with its place and the reason."""

    def __init__(self, faults: list[dict[str, Any]]) -> None:
        super().__init__("invalid_fields", "Some fields are not as they must be.")
        self.faults = faults


class Reading:
    """What one operation takes from path, query and body."""

    def __init__(self, path: str, takes: Mapping[str, Any]) -> None:
        rest = dict(takes)
        self.body: type[BaseModel] | None = rest.pop("body", None)
        self.query: type[BaseModel] | None = rest.pop("query", None)
        self.path = {name: TypeAdapter(_type(name, rest)) for name in _names(path)}

    def path_values(self, given: Mapping[str, str]) -> dict[str, Any]:
        """Return the path's parameters. Raises InvalidFields, as a field's fault."""
        values, faults = {}, []
        for name, adapter in self.path.items():
            try:
                values[name] = adapter.validate_python(given[name])
            except ValidationError as error:
                faults += _faults(error, "path", name)
        if faults:
            raise InvalidFields(faults)
        return values

    def values(
        self, path: Mapping[str, Any], query: QueryParams, sent: Sent | None
    ) -> dict[str, Any]:
        """Return all that the handler takes. Raises InvalidFields with every fault there is."""
        values: dict[str, Any] = dict(path)
        faults: list[dict[str, Any]] = []
        if self.query:
            values["query"] = _checked(self.query, dict(query), "query", faults)
        if self.body:
            assert sent is not None
            values["body"] = _body(self.body, sent, faults)
        if faults:
            raise InvalidFields(faults)
        return values


def _body(model: type[BaseModel], sent: Sent, faults: list[dict[str, Any]]) -> BaseModel | None:
    if sent.is_missing and not any(of.is_required() for of in model.model_fields.values()):
        return model()
    if sent.is_missing:
        faults.append({"type": "missing", "loc": ["body"], "msg": "Field required", "input": None})
        return None
    return _checked(model, sent.value, "body", faults)


def _checked(
    model: type[BaseModel], value: Any, where: str, faults: list[dict[str, Any]]
) -> BaseModel | None:
    nul = first_nul(value)
    if nul is not None:
        loc = [where, *nul]
        faults.append({"type": "value_error", "loc": loc, "msg": NUL, "input": "\ufffd"})
        return None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults += _faults(error, where)
        return None


def _faults(error: ValidationError, *where: str) -> list[dict[str, Any]]:
    errors = error.errors(include_url=False)
    return [{**fault, "loc": [*where, *fault["loc"]]} for fault in errors]


def _names(path: str) -> list[str]:
    return [part[1:].partition("}")[0] for part in path.split("/") if part.startswith("{")]


def _type(name: str, takes: Mapping[str, Any]) -> Any:
    """Return what a path parameter is: as the handler says, else an id."""
    return takes.get(name, UUID)
