"""A router that compares a path only with the routes that it can match."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable

from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send


class GroupedRouter:
    """An application of many routes, of which a path is compared with those of the same group."""

    def __init__(self, routes: Iterable[Route], find_group: Callable[[str], Hashable]) -> None:
        """Group the routes; those of a group keep their order.

        `find_group` returns the group of a path. It must be the same for a route's path, with
        names in place of values, and for all paths that the route matches.
        """
        self.routes = list(routes)
        self._find_group = find_group
        self._groups: defaultdict[Hashable, Router] = defaultdict(Router)
        for route in self.routes:
            self._groups[find_group(route.path)].routes.append(route)
        self._unknown = Router()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request with the route of its path."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        await self._groups.get(self._find_group(path), self._unknown)(scope, receive, send)


def get_first_segment(path: str) -> str:
    """Return the first segment of a path."""
    return path.strip("/").partition("/")[0]


def get_length_and_first_segment(path: str) -> tuple[int, str]:
    """Return the number of segments of a path, and the first one."""
    segments = path.strip("/").split("/")
    return len(segments), segments[0]
