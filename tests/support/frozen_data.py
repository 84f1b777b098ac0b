"""Prepare a data folder with objects of every kind, and the requests of a recording.

    PYTHONPATH=. .venv/bin/python -m tests.support.frozen_data /frozen/data

The demo, a site that people and agents have filled through pages and API, and rows of every kind
in two more organizations are stored in the folder. The requests are in `/frozen/data.json`: see
tests/support/frozen_outputs.py.
"""

import asyncio
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx2
from playwright.async_api import Browser
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from api.app import OPERATIONS
from api.framework.auth import AllowedCaller
from api.framework.operation import Operation
from core.config.settings import Settings
from embedded_postgres.instance import EmbeddedPostgres
from models import Agent
from tests.support import marked_objects
from tests.support.api_document import DOCUMENT
from tests.support.api_objects import OPERATIONS_BY_BODY, ApiObjects, create_api_objects
from tests.support.frozen_forms import list_forms
from tests.support.frozen_outputs import served
from tests.support.full_site import fill_site
from tests.support.installation import LOCAL_AUTH, ApiClient, Installation, find_free_port
from tests.support.live_site import OWNER, LiveSite
from tests.support.operation_requests import build_body, build_url
from tests.support.page_addresses import OTHER_PAGES, PAGES, PUBLIC_PAGES
from tests.support.page_routes import build_address, list_page_addresses, list_routes
from tests.support.people_rows import cookie_secret, token_secret
from tests.support.secret_key import SECRET_KEY
from tests.support.skill_rows import PACK_ID, SKILL_ID
from tests.support.stored_world import store_world
from tests.support.world import World
from web.auth.viewer import SESSION_COOKIE

Request = dict[str, Any]

ROOT = Path(__file__).parent.parent.parent
LIMITS = ("REQUESTS", "PAGES", "SIGN_IN", "FAILED_AUTH", "WEBHOOKS", "GATEWAYS", "STREAMS")
ENVIRONMENT = LOCAL_AUTH | {
    "SECRET_KEY": SECRET_KEY,
    "AGENT_OFFLINE_AFTER": "31536000",
    "SESSION_IDLE_DAYS": "3650",
    "SESSION_DAYS": "3650",
    "LOG_LEVEL": "WARNING",
    **{f"RATE_LIMIT_{name}": "1000000" for name in LIMITS},
}
"""Settings with which no result depends on the time or on earlier requests."""
DEMO_SPEED = 60
SETTLING = 45.0  # seconds in which the worker delivers what the site has created
RECENT = "update sign_ins set authenticated_at = now() + interval '300 days'"
"""Recordings are later than the preparation: no page may ask to sign in again."""
DESTRUCTIVE = ("deletions", "endings", "departures", "acceptances", "account", "sign-out")
LAST = {
    "/settings/language",
    "/people/deletions",
    "/people/departures",
    "/settings/account",
    "/sign-out",
}
"""Forms after which the same user gets other pages, or none."""
UNKNOWN_ID = UUID(int=99)
MAX_FORMS = 4  # of one user for one route
MAX_QUERY = 1_000  # characters
WITHOUT_PAGE: list[tuple[str, dict[str, str]]] = [
    *(("/boards/{board_id}/tasks/{task}/moves", {"to": to}) for to in ("in_progress", "review")),
    ("/boards/{board_id}/tasks/{task}/completions", {}),
    ("/boards/{board_id}/tasks/{task}/questions", {}),
    ("/boards/{board_id}/tasks/{task}/moves", {"to": "done"}),
    ("/approvals/{approval_id}/undoings", {}),
    ("/boards/{board_id}/pauses/endings", {}),
    ("/stops/endings", {}),
    ("/agents/{agent_id}/releases", {}),
    ("/agents/{agent_id}/provisionings", {}),
    ("/welcome/board", {"name": "Frozen"}),
    ("/welcome/agent", {"name": "Frozen", "board_id": "{board_id}"}),
    ("/boards/{board_id}/webhooks/{webhook_id}/secrets/endings", {}),
    ("/boards/{board_id}/tasks/{task}/deletions", {}),
    ("/boards/{board_id}/tasks/{task}/restorations", {}),
    ("/skills/{skill_id}/gateways/{gateway_id}", {}),
]
"""Forms that a page shows only after something else has happened, in an order that works."""
EXPORTS = ("/audit/export", "/events")


async def fill(data: Path) -> tuple[dict[str, str], str]:
    """Run the demo on an empty folder, and fill it; return ids by name, and the owner's cookie."""
    words = ("demo", "--speed", str(DEMO_SPEED))
    installation = Installation(
        data, find_free_port(), ENVIRONMENT, words=words, is_prepared=False
    ).start()
    try:
        link = installation.link.partition("#")[2]
        with httpx2.Client(headers={"Sec-Fetch-Site": "same-origin"}, timeout=60) as client:
            form = OWNER | {"link": link}
            answer = client.post(f"{installation.url}/first-run", data=form)
            assert answer.status_code == 303, answer.text
            cookie = client.cookies[SESSION_COOKIE]
        owner = ApiClient(installation.url, LOCAL_AUTH["LOCAL_AUTH_TOKEN"])
        owner.call("POST", "/auth/bootstrap")
        state = {"cookies": [{"name": SESSION_COOKIE, "value": cookie}]}
        site = LiveSite(cast(Browser, None), installation, owner, state)  # it opens no window
        async with fill_site(site) as ids:
            await asyncio.sleep(SETTLING)
        site.close()
        return ids, cookie
    finally:
        installation.stop()


async def store_rows(data: Path) -> tuple[World, ApiObjects, Mapping[str, Sequence[Any]]]:
    """Store rows of every kind in two more organizations; return them and the ids for pages."""
    postgres = EmbeddedPostgres(data)
    settings = Settings(database_url=await asyncio.to_thread(postgres.start))
    engine = create_async_engine(settings.sqlalchemy_url)
    transaction = async_sessionmaker(engine, expire_on_commit=False).begin
    try:
        world = await store_world(transaction)
        async with transaction() as session:
            await session.execute(sql("delete from soul_directories"))  # one is stored below
            objects = await create_api_objects(session, world)
            made = marked_objects.make_all_rows(world, objects.gateway)
            rows = [one for one in made if "Skill" not in type(one).__name__]  # their ids are used
            session.add_all(rows)
            await session.flush()
            await session.execute(sql(RECENT))
        return world, objects, marked_objects.collect_page_ids(world, objects.gateway, rows)
    finally:
        await engine.dispose()
        await asyncio.to_thread(postgres.stop)


class Plan:
    """The requests of all runs."""

    def __init__(self, world: World, objects: ApiObjects, page_ids: Mapping[str, Any]) -> None:
        self.world, self.objects = world, objects
        self.page_ids = {name: [str(id) for id in ids] for name, ids in page_ids.items()}
        self.page_ids["task_id"].append(str(objects.task.id))
        self.page_ids["invite_id"].append(str(objects.invite.id))
        self.page_ids |= {"token_id": [str(UNKNOWN_ID)], "sign_in_id": [str(UNKNOWN_ID)]}
        self.page_ids |= {"skill_id": [str(SKILL_ID)], "pack_id": [str(PACK_ID)]}
        self.first = {name: ids[0] for name, ids in self.page_ids.items()}
        self.callers: dict[str, Any] = {"nobody": {"headers": {"Sec-Fetch-Site": "same-origin"}}}
        self.runs: dict[str, list[Request]] = {}
        users = (world.alice, world.bob, world.rita, world.dana, world.charlie)
        for user in users:
            self.add_browser(str(user.name).lower(), cookie_secret(user))
        agents = (world.lead, world.worker, world.charlies_worker, objects.main_agent)
        for caller in (*users, *agents):
            self.add_token(name_token(caller), token_secret(caller))

    def add_browser(self, name: str, cookie: str) -> None:
        """Add a user with a browser, and the same with other languages and with htmx."""
        variants = {
            name: {},
            f"{name}-de": {"Accept-Language": "de"},
            f"{name}-zh-Hans": {"Accept-Language": "zh-Hans"},
            f"{name}-htmx": {"HX-Request": "true"},
        }
        for variant, more in variants.items():
            headers = {"Sec-Fetch-Site": "same-origin"} | more
            self.callers[variant] = {"headers": headers, "cookies": {SESSION_COOKIE: cookie}}

    def add_token(self, name: str, token: str) -> None:
        """Add a user or an agent who calls the API."""
        self.callers[name] = {"headers": {"Authorization": f"Bearer {token}"}}

    def add(self, run: str, caller: str, method: str, path: str, **more: Any) -> None:
        """Add a request to a run."""
        assert caller in self.callers, caller
        self.runs.setdefault(run, []).append(
            {"caller": caller, "method": method, "path": path, **more}
        )

    def add_api_reads(self) -> None:
        """Add every GET operation as callers with different rights, and its query parameters."""
        main = name_token(self.objects.main_agent)
        callers = [f"{name}-api" for name in ("alice", "rita", "dana", "charlie")]
        callers += ["lead-agent", main, "charlie's-worker-agent", "nobody"]
        for operation in OPERATIONS:
            if operation.method != "GET":
                continue
            path = f"/api/v1{build_url(operation, self.objects)}"
            for caller in callers:
                self.add("api-reads", caller, "GET", path)
            allowed = name_token(self.objects.get_allowed_caller(operation))
            for query in list_queries(operation):
                separator = "&" if "?" in path else "?"
                self.add("api-reads", allowed, "GET", f"{path}{separator}{query}")
            unknown = re.sub(r"\{\w+_id\}", str(UNKNOWN_ID), operation.path)
            if unknown != operation.path:
                unknown = self.objects.fill_path(unknown)
                self.add("api-reads", allowed, "GET", f"/api/v1{unknown}")

    def add_api_changes(self) -> None:
        """Add a valid call of every changing operation; what is deleted comes last."""
        reads = {one.path for one in OPERATIONS if one.method == "GET"}
        changes = sorted(list_changes(), key=rank_change)
        removals = [one for one in changes if any(rank_change(one)[:2])]
        for operation in changes:
            if operation is removals[0]:
                self.add_reads_after_changes()
            caller = name_token(self.objects.get_allowed_caller(operation))
            path = f"/api/v1{build_url(operation, self.objects)}"
            more: Request = {}
            body = build_body(operation, self.objects)
            if body is not None:
                more["json"] = json.loads(json.dumps(body, default=str))
            inner = next((one for one in reads if is_item_of(one, operation.path)), None)
            if operation.method == "POST" and inner:
                more["then"] = f"{path.partition('?')[0]}/{{id}}"
            self.add("api-changes", caller, operation.method, path, **more)
            if operation.path in reads:
                self.add("api-changes", caller, "GET", path)

    def add_reads_after_changes(self) -> None:
        """Add the operations that show what was changed, before it is deleted."""
        for operation in OPERATIONS:
            if operation.method == "GET" and operation.allowed_caller is not AllowedCaller.AGENT:
                path = f"/api/v1{build_url(operation, self.objects)}"
                self.add("api-changes", "bob-api", "GET", path)

    def add_invalid_api_calls(self) -> None:
        """Add calls of every changing operation without rights, and with wrong bodies."""
        for operation in sorted(list_changes(), key=rank_change):
            path = f"/api/v1{build_url(operation, self.objects)}"
            body = build_body(operation, self.objects)
            valid = json.loads(json.dumps(body, default=str))
            sent = {} if body is None else {"json": valid}
            for caller in ("nobody", "charlie-api", "rita-api"):
                self.add("api-rejections", caller, operation.method, path, **sent)
        for operation in OPERATIONS_BY_BODY:
            path = f"/api/v1{build_url(operation, self.objects)}"
            valid = json.loads(json.dumps(build_body(operation, self.objects), default=str))
            allowed = name_token(self.objects.get_allowed_caller(operation))
            for wrong in list_wrong_bodies(operation, valid):
                self.add("api-limits", allowed, operation.method, path, json=wrong)

    def add_page_reads(self) -> None:
        """Add every page and part as users with different rights, and in other languages."""
        addresses = list_page_addresses(self.page_ids)
        known = {address.partition("?")[0] for address in addresses}
        for route in list_routes():
            if "GET" in (route.methods or ()) and route.path not in EXPORTS:
                address = build_address(route.path, self.first)
                addresses += [address] if address not in known else []
        steps = {"alice": 1, "rita": 1, "charlie": 2, "nobody": 4, "alice-htmx": 2}
        for caller, step in (steps | {"alice-de": 3, "dana-zh-Hans": 5}).items():
            for address in addresses[::step]:
                self.add("pages", caller, "GET", address)

    def add_site_reads(self, ids: Mapping[str, str]) -> None:
        """Add the pages of the site that people and agents have filled."""
        for address in (*chain(*PUBLIC_PAGES.values()), *OTHER_PAGES):
            for caller in ("nobody", "olga"):
                self.add("site", caller, "GET", address)
        addresses = [address.format(**ids) for address in chain(*PAGES.values())]
        for caller, step in {"olga": 1, "olga-de": 2, "olga-htmx": 3}.items():
            for address in addresses[::step]:
                self.add("site", caller, "GET", address)
        for path in ("/boards", "/agents", "/tags", "/gateways", "/approvals", "/search?q=a"):
            self.add("site", "olga-api", "GET", f"/api/v1{path}")
        for path in ("tasks", "snapshot", "approvals", "memory", "webhooks", "group-memory"):
            for board in ("board", "empty", "quay"):
                self.add("site", "olga-api", "GET", f"/api/v1/boards/{ids[board]}/{path}")

    def add_demo(self, demo: Mapping[str, list[str]]) -> None:
        """Add what the demo shows in pages and API to a user who has chosen it."""
        active = {"organization_id": demo["organization"][0]}
        self.add("demo", "olga-api", "PATCH", "/api/v1/organizations/me/active", json=active)
        pages = ["/dashboard", "/boards", "/agents", "/approvals", "/activity", "/groups", "/tags"]
        pages += ["/my-tasks", "/people", "/search?q=a", "/approvals?state=decided", "/audit"]
        for board in demo["board"]:
            parts = (
                "",
                "/chat",
                "/notes",
                "/feed",
                "/settings",
                "/trash",
                "/columns",
                "/agents-panel",
            )
            pages += [f"/boards/{board}{part}" for part in (*parts, "?view=list", "?view=calendar")]
            for part in ("tasks", "snapshot", "approvals", "memory"):
                self.add("demo", "olga-api", "GET", f"/api/v1/boards/{board}/{part}")
        pages += [f"/agents/{id}{part}" for id in demo["agent"] for part in ("", "/messages")]
        pages += [f"/approvals/{id}" for id in demo["approval"]]
        pages += [f"/boards/{task.replace(' ', '/tasks/')}" for task in demo["task"]]
        for page in pages:
            self.add("demo", "olga", "GET", page)
            self.add("demo", "olga-de", "GET", page)

    def add_empty_forms(self) -> None:
        """Add every form without a value: as users without rights, and as the owner."""
        paths = [one.path for one in list_routes() if "POST" in (one.methods or ())]
        for path in sorted(paths, key=rank_form):
            address = build_address(path, self.first | {"version_id": str(UNKNOWN_ID)})
            for caller in ("nobody", "charlie", "rita"):
                self.add("form-rejections", caller, "POST", address, form=[])
            self.add("empty-forms", "alice", "POST", address, form=[], follow=True)

    def add_forms(self, url: str, ids: Mapping[str, str]) -> None:
        """Add the forms of all pages: each once for each combination of fields and button."""
        shown: dict[Any, Request] = {}
        addresses = {
            "alice": list_page_addresses(self.page_ids),
            "olga": [one.format(**ids) for one in chain(*PAGES.values())],
            "nobody": list(chain(*PUBLIC_PAGES.values())),
        }
        routes = [one for one in list_routes() if "POST" in (one.methods or ())]
        for caller, pages in addresses.items():
            with httpx2.Client(base_url=url, timeout=60, **self.callers[caller]) as client:
                for page in pages:
                    for action, fields in list_forms(client.get(page).text):
                        action = action or page
                        path = action.partition("?")[0]
                        matching = [one.path for one in routes if one.path_regex.match(path)]
                        if not matching:  # its script changes the address
                            continue
                        names = tuple(name for name, _ in fields)
                        key = (caller, matching[0], names, fields[-1:] and fields[-1][1][:20])
                        shown.setdefault(key, {"path": action, "form": fields})
        several: Counter[tuple[str, str]] = Counter()
        ranked = sorted(shown, key=lambda key: rank_form(key[1]))
        removals = [key for key in ranked if any(rank_form(key[1])[:2])]
        for key in ranked:
            if removals and key is removals[0]:
                self.add_forms_without_page()
            caller, route = key[:2]
            several[caller, route] += 1
            if several[caller, route] <= MAX_FORMS:
                self.add_form(caller, **shown[key])
        missing = {one.path for one in routes} - {key[1] for key in shown}
        print("Forms that no page shows:", *sorted(missing))

    def add_form(self, caller: str, path: str, form: list[tuple[str, str]]) -> None:
        """Add a form that is sent by a browser, and by htmx."""
        self.add("forms", caller, "POST", path, form=form, follow=True)
        htmx = caller if caller == "nobody" else f"{caller}-htmx"
        self.add("forms-htmx", htmx, "POST", path, form=form)

    def add_forms_without_page(self) -> None:
        """Add forms that no page shows at the beginning."""
        ids = self.first | {"task": str(self.objects.task.id)}
        for path, fields in WITHOUT_PAGE:
            form = [(name, value.format(**ids)) for name, value in fields.items()]
            self.add_form("alice", path.format(**ids), form)

    def add_sign_in(self) -> None:
        """Add a sign-in with a wrong password, one with the right one, and its end."""
        account = [("email", OWNER["email"]), ("next", "/boards")]
        for password in ("wrong password", OWNER["password"]):
            form = [*account, ("password", password)]
            self.add("sign-in", "nobody", "POST", "/sign-in", form=form, follow=True)
        self.add("sign-in", "nobody", "GET", "/settings")
        self.add("sign-in", "nobody", "POST", "/sign-out", form=[], follow=True)


def name_token(caller: Any) -> str:
    """Return the name of a caller of the API."""
    name = caller.name.lower().replace(" ", "-")
    return f"{name}-agent" if isinstance(caller, Agent) else f"{name}-api"


def list_changes() -> list[Operation]:
    """Return the operations that change something."""
    return [one for one in OPERATIONS if one.method != "GET"]


def rank_change(operation: Operation) -> tuple[bool, bool, bool, int]:
    """Sort operations: what deletes comes last, and what contains much after that."""
    is_last = operation.path in ("/users/me", "/organizations/me", "/organizations/me/active")
    is_removal = operation.method == "DELETE" and not operation.path.endswith(("/stop", "/hold"))
    is_first = "approvals" in operation.path  # of a task that has not changed
    depth = operation.path.count("/")
    return is_last and operation.method != "PATCH", is_removal, not is_first, -depth


def rank_form(path: str) -> tuple[bool, bool, int]:
    """Sort the paths of forms: what removes comes last, and what contains much after that."""
    is_removal = path.endswith(DESTRUCTIVE)
    is_last = path in LAST or (path.endswith("endings") and "/sessions/" in path)
    return is_last, is_removal, -path.count("/") if is_removal else 0


def is_item_of(path: str, collection: str) -> bool:
    """Return whether a path is the one of the objects in a collection."""
    return re.fullmatch(re.escape(collection) + r"/\{\w+\}", path) is not None


def describe(operation: Operation) -> dict[str, Any]:
    """Return an operation of the OpenAPI document."""
    found: dict[str, Any] = DOCUMENT["paths"][f"/api/v1{operation.path}"][operation.method.lower()]
    return found


def resolve(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without a reference, or the first of its variants that is not null."""
    if "$ref" in schema:
        return resolve(DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    for variant in schema.get("anyOf", ()):
        if variant.get("type") != "null":
            return resolve(variant)
    return schema


def list_queries(operation: Operation) -> Iterator[str]:
    """Yield a valid and invalid values of each query parameter."""
    for parameter in describe(operation).get("parameters", ()):
        if parameter["in"] != "query" or parameter["name"] in ("board_id", "gateway_id"):
            continue
        name, schema = parameter["name"], resolve(parameter["schema"])
        values = [*schema.get("enum", ())[:2], "xyz", ""]
        if schema.get("type") in ("integer", "number"):
            values += [1, schema.get("minimum", 0) - 1]
            values += [schema["maximum"], schema["maximum"] + 1] if "maximum" in schema else []
        elif schema.get("type") == "boolean":
            values += ["true"]
        elif "maxLength" in schema and schema["maxLength"] < MAX_QUERY:
            values += ["x" * schema["maxLength"], "x" * (schema["maxLength"] + 1)]
        yield from (f"{name}={value}" for value in values)


def list_wrong_bodies(operation: Operation, valid: Any) -> Iterator[Any]:
    """Yield bodies that are empty, of wrong types, without a field, at a limit and above it."""
    content = describe(operation)["requestBody"]["content"]["application/json"]
    schema = resolve(content["schema"])
    yield from ({}, [], "x")
    yield valid | {"unknown_field": 1}
    for name in schema.get("required", ()):
        yield {other: value for other, value in valid.items() if other != name}
    for name, declared in schema.get("properties", {}).items():
        field = resolve(declared)
        wrong: list[Any] = [None, {"x": [1]}, "" if field.get("type") == "string" else "x"]
        if "maxLength" in field:
            wrong += [repeat("x", count) for count in list_lengths(field["maxLength"], 20_000)]
        if "minLength" in field:
            wrong += [repeat("x", field["minLength"] - 1)]
        for limit, step in (("maximum", 1), ("minimum", -1)):
            if limit in field:
                wrong += [field[limit], field[limit] + step]
        if "maxItems" in field:
            item = resolve(field.get("items", {}))
            one: Any = str(UNKNOWN_ID) if item.get("format") == "uuid" else "x"
            wrong += [[one] * count for count in list_lengths(field["maxItems"], 500)]
        if "enum" in field:
            wrong += [*field["enum"], "xyz"]
        yield from (valid | {name: value} for value in wrong)


def list_lengths(published: int, enforced: int) -> list[int]:
    """Return lengths at a published limit, and at one that may be enforced instead, and above."""
    limits = [published, enforced] if enforced < published else [published]
    return [limit + step for limit in limits for step in (0, 1)]


def repeat(unit: str, count: int) -> Any:
    """Return a text, or what stands for a long one."""
    return unit * count if count < MAX_QUERY else {"$repeat": [unit, count]}


async def find_demo(data: Path) -> dict[str, list[str]]:
    """Return the ids of objects of the demo, and the boards of its tasks with the ids of both."""
    of_demo = "where organization_id = (select id from organizations where is_demo) order by id"
    boards = f"board_id in (select id from boards {of_demo})"
    queries = {
        "organization": "select id from organizations where is_demo",
        "board": f"select id from boards {of_demo}",
        "agent": f"select id from agents {of_demo}",
        "approval": f"select id from approvals where {boards} order by id",
        "task": f"select board_id || ' ' || id from tasks where {boards} order by id",
    }
    postgres = EmbeddedPostgres(data)
    settings = Settings(database_url=await asyncio.to_thread(postgres.start))
    engine = create_async_engine(settings.sqlalchemy_url)
    try:
        async with engine.connect() as connection:
            return {
                name: [str(id) for id in (await connection.scalars(sql(query))).all()]
                for name, query in queries.items()
            }
    finally:
        await engine.dispose()
        await asyncio.to_thread(postgres.stop)


def prepare(data: Path) -> None:
    """Make the folder, and the file with the requests beside it."""
    data.parent.mkdir(parents=True, exist_ok=True)
    ids, cookie = asyncio.run(fill(data))
    world, objects, page_ids = asyncio.run(store_rows(data))
    plan = Plan(world, objects, page_ids)
    plan.add_browser("olga", cookie)
    plan.add_token("olga-api", LOCAL_AUTH["LOCAL_AUTH_TOKEN"])
    plan.add_api_reads()
    plan.add_page_reads()
    plan.add_site_reads(ids)
    plan.add_demo(asyncio.run(find_demo(data)))
    plan.add_api_changes()
    plan.add_invalid_api_calls()
    plan.add_empty_forms()
    plan.add_sign_in()
    with served(ROOT, data, ENVIRONMENT, data.parent / "prepare.log") as (url, _, _):
        plan.add_forms(url, ids)
    content = {"environment": ENVIRONMENT, "callers": plan.callers, "runs": plan.runs}
    Path(f"{data}.json").write_text(json.dumps(content, indent=1))
    for name, requests in plan.runs.items():
        print(name, len(requests))


if __name__ == "__main__":
    prepare(Path(sys.argv[1]).resolve())
