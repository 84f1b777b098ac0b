"""Places in long lists that an address names: an offset, or the page around an object."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode
from uuid import UUID

from starlette.datastructures import QueryParams

from core.paging import center_offset
from web.ui import forms


@dataclass(frozen=True)
class ListPosition:
    """A place in a list; `parameters` are those of the address that shows it again."""

    offset: int = 0
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def query(self) -> str:
        """Return the query of the address with its question mark, or "" for the first page."""
        return f"?{urlencode(self.parameters)}" if self.parameters else ""


def parse_list_position(query: QueryParams, name: str) -> ListPosition:
    """Return the place that an address names; the offset of an object, `name`, is not known."""
    id, offset = forms.parse_id(query.get(name)), forms.parse_offset(query)
    if id is not None:
        return ListPosition(parameters={name: str(id)})
    return ListPosition(offset, {"offset": str(offset)}) if offset else ListPosition()


async def find_page_around(
    query: QueryParams,
    name: str,
    page_size: int,
    count_before: Callable[[UUID], Awaitable[int]],
) -> ListPosition:
    """Return the place of the page around the object that an address names, or at its offset.

    The first page has no parameters: it shows what is added.
    """
    place, id = parse_list_position(query, name), forms.parse_id(query.get(name))
    if id is None:
        return place
    offset = center_offset(await count_before(id), page_size)
    return ListPosition(offset, place.parameters) if offset else ListPosition()
