"""Pages without a session, of another organization, and their security headers (1, 9, 15)."""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import ApiToken, SignIn
from tests.support.checksums import compute_checksums
from tests.support.page_routes import PARAMETER, build_address, list_page_addresses, list_routes
from tests.support.tiers import IS_COMPLETE_RUN
from tests.support.world import World

PUBLIC = {
    "/account-deleted",
    "/client.py",
    "/clients/opencode.js",
    "/first-run",
    "/first-run/openings",
    "/invite",
    "/invite/openings",
    "/password",
    "/password/openings",
    "/service_worker.js",
    "/sign-in",
    "/sign-in/oidc",
    "/sign-in/oidc/callback",
}
"""Routes for people who are not signed in."""
SAME_FOR_EVERYBODY = {
    "/boards/{board_id:uuid}/approvals",
    "/agents/{agent_id:uuid}/edit",
    "/settings/channels/new/{kind}",
    "/pick/{picker_kind}",  # the options of each organization are in tests/web/test_pickers.py
    "/souls/{handle}/{soul}",
    "/souls/{handle}/{soul}/applications",
}
"""Routes that lead to another page without loading the object, or show what everybody may see."""
FORM = {"section": "agents", "status": "review", "to": "review", "name": "Mine", "effect": "allow"}
"""Values of the forms that are checked before their object is loaded."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}


async def test_every_other_page_leads_to_the_sign_in_without_a_session(
    page_ids: Mapping[str, Sequence[Any]], anonymous: httpx2.AsyncClient
) -> None:
    anybody = dict.fromkeys(
        {name for route in list_routes() for name in PARAMETER.findall(route.path)},
        page_ids["board_id"][0],
    )
    checked = 0
    for route in list_routes():
        if route.path in PUBLIC:
            continue
        for method in (route.methods or set()) - {"HEAD"}:
            answer = await anonymous.request(method, build_address(route.path, anybody))
            assert answer.status_code in (303, 401), (method, route.path)
            leads_to = answer.headers.get("Location") or answer.headers["HX-Redirect"]
            assert leads_to.startswith("/sign-in"), (method, route.path)
            checked += 1
    assert checked > 100
    assert {route.path for route in list_routes()} >= PUBLIC


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/openapi.yaml",
            "/llms-full.txt",
            "/robots.txt",
            "/.well-known/security.txt",
            "/wp-login.php",
        ),
        *("/boards/x/y/z", "/events/x", "/static", "/wp-login.php", f"/{'x' * 8_000}"),
    ],
)
async def test_an_unknown_path_is_not_found_without_a_session(
    anonymous: httpx2.AsyncClient, path: str
) -> None:
    for method in ("GET", "POST"):
        answer = await anonymous.request(method, path)
        assert answer.status_code == 404, method
        assert "Location" not in answer.headers


async def test_pages_of_another_organization_do_not_exist(
    page_ids: Mapping[str, Sequence[Any]], charlie: httpx2.AsyncClient
) -> None:
    paths = [route.path for route in list_routes() if "GET" in (route.methods or ())]
    ids = {name: values[0] for name, values in page_ids.items()}
    for path in paths:
        if path in SAME_FOR_EVERYBODY or not PARAMETER.search(path):
            continue
        answer = await charlie.get(build_address(path, ids))
        assert answer.status_code == 404, (path, answer.status_code)


async def test_forms_of_another_organization_change_nothing(
    page_ids: Mapping[str, Sequence[Any]],
    charlie: httpx2.AsyncClient,
    world: World,
    transaction: TransactionFactory,
) -> None:
    ids = {name: values[0] for name, values in page_ids.items()}
    async with transaction() as session:
        for name, model in (("sign_in_id", SignIn), ("token_id", ApiToken)):
            ids[name] = await session.scalar(
                select(model.id).where(model.user_id == world.alice.id)
            )
        before = await compute_checksums(session)
    form = FORM | {"ids": str(ids["task_id"]), "shown": f"{ids['approval_id']}:{'0' * 64}"}
    checked = 0
    for route in list_routes():
        if route.path in SAME_FOR_EVERYBODY or not PARAMETER.search(route.path):
            continue
        for method in (route.methods or set()) - {"GET", "HEAD"}:
            answer = await charlie.request(method, build_address(route.path, ids), data=form)
            assert answer.status_code == 404, (method, route.path, answer.status_code)
            checked += 1
    assert checked > 100
    async with transaction() as session:
        assert await compute_checksums(session) == before


async def test_every_page_has_security_headers(
    page_ids: Mapping[str, Sequence[Any]], alice: httpx2.AsyncClient
) -> None:
    """One server sets them: all pages repeat the pages of the first part of an address."""
    paths = {one.partition("?")[0] for one in list_page_addresses(page_ids)}
    by_part = {path.split("/")[1]: path for path in sorted(paths)}
    for address in paths if IS_COMPLETE_RUN else by_part.values():
        headers = (await alice.get(address)).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "Referrer-Policy" in headers
        for name, value in HEADERS.items():
            assert headers[name] == value, (address, name)
