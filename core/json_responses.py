"""Encode responses as JSON."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from operator import attrgetter
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin
from uuid import UUID

import orjson
import pydantic_core
from pydantic import BaseModel

from core.clock import format_naive_utc
from core.paging import Page

SLICE_LENGTH = 1_000_000  # bytes, which are encoded in about 3 ms

Item = TypeVar("Item")
Model = TypeVar("Model")


class Encoded(Generic[Model]):
    """A response that is serialized as it is, without validation.

    `Model` describes it in the OpenAPI document. A test compares each response with its model.
    `long_list` is the key of a list in the value that can be very long as JSON.
    """

    __slots__ = ("headers", "long_list", "value", "version")

    def __init__(
        self,
        value: Any,
        version: int | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        *,
        long_list: str = "",
    ) -> None:
        self.value = value
        self.version = version
        self.headers = headers
        self.long_list = long_list

    async def encode(self) -> bytes:
        """Return the JSON. While a long list is encoded, other requests have their turns."""
        if not self.long_list:
            return encode_json(self.value)
        parts: list[bytes] = []
        slice_length = total = 0
        for name, value in self.value.items():
            parts += [b"," if parts else b"{", encode_json(name), b":"]
            if name != self.long_list:
                parts.append(encode_json(value))
                continue
            for number, item in enumerate(value):
                encoded = encode_json(item)
                parts += [b"," if number else b"[", encoded]
                slice_length += len(encoded)
                total += len(encoded)
                if slice_length > SLICE_LENGTH:
                    slice_length = 0
                    await asyncio.sleep(0)
            parts.append(b"]" if value else b"[]")
        parts.append(b"}")
        return await asyncio.to_thread(b"".join, parts) if total > SLICE_LENGTH else b"".join(parts)


def encode_page(page: Page[Item], build: Callable[[Item], dict[str, Any]]) -> Encoded[Any]:
    """Return a page of a list, with the fields of each item."""
    items = list(map(build, page.items))
    fields = {"items": items, "total": page.total, "limit": page.limit, "offset": page.offset}
    return Encoded(fields, headers=page.headers, long_list="items")


def build_encoder(
    model: type[BaseModel], within: str = "", **paths: str
) -> Callable[[Any], dict[str, Any]]:
    """Return a function that reads the fields of a flat response from an object, for `encode_json`.

    They are attributes of the object's attribute `within`, except those with a path of their own. A
    test finds attributes that do not exist: it compares every encoded response with its model.
    """
    names = tuple(model.model_fields)
    own = f"{within}." if within else ""
    read = attrgetter(*(paths.get(name, own + name) for name in names))
    converted = [
        (name, convert)
        for name, field in model.model_fields.items()
        if (convert := _find_conversion(field.annotation))
    ]

    def encode(row: Any) -> dict[str, Any]:
        fields = dict(zip(names, read(row), strict=True))
        for name, convert in converted:
            fields[name] = convert(fields[name])
        return fields

    return encode


def _find_conversion(annotation: Any) -> Callable[[Any], Any] | None:
    """Return what converts values of a type that orjson does not encode as the API does."""
    if annotation == list[UUID]:
        return json_ids
    if get_origin(annotation) is Annotated:
        return _find_conversion(annotation.__origin__)
    if get_origin(annotation) in (Union, UnionType):
        return next(filter(None, map(_find_conversion, get_args(annotation))), None)
    return {UUID: json_id, datetime: json_time}.get(annotation)


def json_time(moment: datetime | None) -> datetime | str | None:
    """Return a time in UTC as a value that is encoded fast (C19)."""
    if moment is None:
        return None
    if moment.microsecond and moment.tzinfo is UTC:
        return moment.replace(tzinfo=None)
    return format_naive_utc(moment)


def json_id(id: UUID | None) -> str | None:
    """Return an id as a value that is encoded fast; ids of rows are a subclass of UUID."""
    return None if id is None else str(id)


def json_ids(ids: Iterable[UUID]) -> list[str]:
    """Return ids as values that are encoded fast."""
    return [str(id) for id in ids]


def encode_json(value: Any) -> bytes:
    """Encode dicts, lists, texts, numbers and times without a zone."""
    try:
        return orjson.dumps(value, default=_encode_other)
    except TypeError:  # integers of more than 64 bits in values of users
        return pydantic_core.to_json(value, fallback=_encode_other)


def _encode_other(value: Any) -> str:
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"cannot encode {type(value).__name__}")
