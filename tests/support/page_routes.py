"""The routes of all pages, and their addresses for given objects."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from starlette.routing import BaseRoute, Mount, Route

from tests.support.tiers import IS_COMPLETE_RUN
from web.pages import pages

NO_PAGES = {"/audit/export", "/design", "/events", "/sign-in/oidc", "/sign-in/oidc/callback"}
"""Routes of a file, a stream or another site, and one that exists only in development."""
NEED_A_QUERY = {"/boards/{board_id:uuid}/rows"}  # without one they show nothing
QUERIES = {
    "/dashboard": ["?range=1y", "?chart=time"],
    "/boards/{board_id:uuid}": ["?view=list", "?view=calendar", "?done=1&column=done"],
    "/boards/{board_id:uuid}/rows": ["?view=list&only=is.review", "?view=list&only=is.inbox&q=a"],
    "/boards/{board_id:uuid}/views/new": ["?q=xssmark&view=list"],
    "/approvals": ["?state=decided", "?state=gateways"],
    "/approvals/{approval_id:uuid}": ["?all=1"],
    "/audit": ["?chain=installation"],
    "/search": ["?q=xssmark", "?q=a", "?q=nothing+is+called+that", "?q=xssmark&status=done"],
    "/search/suggestions": ["?q=xssmark"],
    "/groups/{group_id:uuid}": ["?done=1&tasks=10", "?updated=2"],
    "/agents/{agent_id:uuid}/files": ["?wait=1"],
    "/agents/{agent_id:uuid}/files/{name}": ["?wait=1"],
    "/gateways/{gateway_id:uuid}/agents": ["?wait=1"],
    "/gateways/{gateway_id:uuid}/sync": ["?wait=1"],
    "/gateways/{gateway_id:uuid}/sessions": ["?wait=1"],
    "/gateways/{gateway_id:uuid}/sessions/{key:path}": ["?wait=1"],
}
"""Other views of a page."""
REPRESENTATIVE = {
    "/activity",
    "/agents",
    "/agents/{agent_id:uuid}",
    "/agents/{agent_id:uuid}/files/{name}/edit",
    "/approvals",
    "/approvals/rows",
    "/approvals/{approval_id:uuid}",
    "/approvals/requests/{request_id:uuid}",
    "/audit",
    "/boards",
    "/boards/{board_id:uuid}",
    "/boards/{board_id:uuid}/cards/{task_id:uuid}",
    "/boards/{board_id:uuid}/chat",
    "/boards/{board_id:uuid}/columns",
    "/boards/{board_id:uuid}/onboarding",
    "/boards/{board_id:uuid}/onboarding/review",
    "/boards/{board_id:uuid}/rows",
    "/boards/{board_id:uuid}/settings",
    "/boards/{board_id:uuid}/tasks/{task_id:uuid}",
    "/boards/{board_id:uuid}/tasks/{task_id:uuid}/conversation",
    "/boards/{board_id:uuid}/tasks/{task_id:uuid}/descriptions",
    "/boards/{board_id:uuid}/webhooks/{webhook_id:uuid}/action",
    "/boards/{board_id:uuid}/webhooks/{webhook_id:uuid}/payloads/{payload_id:uuid}",
    "/dashboard",
    "/gateways/{gateway_id:uuid}",
    "/gateways/{gateway_id:uuid}/sessions/{key:path}",
    "/my-tasks",
    "/notifications",
    "/people",
    "/rail",
    "/search",
    "/search/suggestions",
    "/settings",
    "/settings/policy/rules/new",
    "/webhooks/{endpoint_id:uuid}",
}
"""The pages and parts with the most logic, and one of each kind."""
PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


def list_routes(route: BaseRoute = pages) -> Iterator[Route]:
    """Return all routes of pages and forms."""
    if isinstance(route, Mount):
        yield from chain.from_iterable(map(list_routes, route.routes))
    elif isinstance(route, Route):
        yield route


def build_address(path: str, ids: Mapping[str, Any]) -> str:
    """Replace the parameters of a path."""
    return PARAMETER.sub(lambda parameter: str(ids[parameter[1]]), path)


def list_page_addresses(ids: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return an address for each view and each of the objects that it shows differently."""
    return _list_addresses(ids, is_chosen=lambda path: True)


def choose_representative_addresses(ids: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return all addresses with `--all`, otherwise one for each view of a representative page."""
    assert {route.path for route in list_routes()} >= REPRESENTATIVE
    if IS_COMPLETE_RUN:
        return list_page_addresses(ids)
    found = _list_addresses(ids, is_chosen=REPRESENTATIVE.__contains__)
    return [*{ID.sub("id", one): one for one in found}.values()]


def _list_addresses(
    ids: Mapping[str, Sequence[Any]], *, is_chosen: Callable[[str], bool]
) -> list[str]:
    views = {
        (route.endpoint, route.path.startswith("/boards")): route.path
        for route in list_routes()
        if "GET" in (route.methods or ()) and route.path not in NO_PAGES and is_chosen(route.path)
    }
    first, found = {name: values[0] for name, values in ids.items()}, []
    for path in views.values():
        names = PARAMETER.findall(path)
        is_main_page = path.endswith("}") or "/onboarding" in path
        several = ids[names[-1]] if names and is_main_page else [None]
        for id in several:
            address = build_address(path, first | {name: id for name in names[-1:] if id})
            found += [address] if path not in NEED_A_QUERY else []
            found += [f"{address}{query}" for query in QUERIES.get(path, ())]
    return found
