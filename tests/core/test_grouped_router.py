"""A path is compared with the routes of its group, among which is each route that it matches."""

from collections.abc import Callable, Hashable, Iterable
from uuid import UUID

import pytest
from starlette.convertors import PathConvertor
from starlette.routing import Match, Route

from api.app import app
from core.http.grouped_router import GroupedRouter, get_first_segment, get_length_and_first_segment
from web.pages import MEMBER_ROUTES

API_ROUTES = app.app.routes if isinstance(app.app, GroupedRouter) else []


@pytest.mark.parametrize("suffix", ["", "/"])
@pytest.mark.parametrize(
    ("routes", "find_group"),
    [(MEMBER_ROUTES, get_first_segment), (API_ROUTES, get_length_and_first_segment)],
    ids=["pages", "api"],
)
def test_a_path_is_in_the_group_of_its_route(
    routes: Iterable[Route], find_group: Callable[[str], Hashable], suffix: str
) -> None:
    for route in routes:
        values = {
            name: "a/b" if isinstance(convertor, PathConvertor) else UUID(int=1)
            for name, convertor in route.param_convertors.items()
        }
        path = route.path_format.format(**values)
        scope = {"type": "http", "path": path, "method": "GET"}
        assert route.matches(scope)[0] is not Match.NONE
        assert find_group(path + suffix) == find_group(route.path)
