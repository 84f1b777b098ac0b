"""No operation, page, fragment or stream holds the event loop, whatever content it has."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, TypeAlias
from urllib.parse import urlencode
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from api.app import OPERATIONS
from api.framework.operation import PREFIX, Operation
from core.config.settings import Settings
from core.event_loop import ID, MAX_HOLD
from core.paging import MAX_PAGE_SIZE
from tests.conftest import copy_database
from tests.support.api_fixtures import HIGH_RATE_LIMITS
from tests.support.api_objects import OPERATIONS_BY_BODY, ApiObjects, operation_label
from tests.support.loop_holds import calibrate
from tests.support.marked_objects import collect_page_ids
from tests.support.monitored_server import Header, MonitoredServer, run_monitored_server
from tests.support.operation_requests import build_body, build_url
from tests.support.page_routes import (
    PARAMETER,
    build_address,
    choose_representative_addresses,
    list_routes,
)
from tests.support.people_rows import cookie_secret, token_secret
from tests.support.skill_rows import PACK_ID, SKILL_ID
from tests.support.stored_world import store_world
from tests.support.tiers import IS_COMPLETE_RUN, select_options
from tests.support.worst_content import build_payload, build_text, store_worst_objects
from web.auth.viewer import SESSION_COOKIE

LISTED = 40  # holds in the table
MAX_REPEATS = 3  # of a request that holds the event loop
MODELS_BY_BODY, FORMS_BY_BODY = (1, 1) if IS_COMPLETE_RUN else (12, 8)
"""Of so many models of the API and forms, one gets a body of 2 MB, or with many fields."""
SINGLE_READS = 1 if IS_COMPLETE_RUN else 4  # of so many reads of one object, one is sent
BODY_SIZE = 2_000_000  # bytes
JSON = ("Content-Type", "application/json")
MANY_HEADERS = [("a", "")] * 10_000  # all headers have at most 64 kB
FORM, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="%d"\r\n\r\n\r\n'
FILE = b'--x\r\nContent-Disposition: form-data; name="archive"; filename="a.zip"\r\n\r\n'
MANY_IDS = b"&".join([b"ids=1"] * 1_900)
HOSTILE_FORMS = [
    (FORM, b"&".join(b"k%d=%%F0%%9F%%98%%80" % number for number in range(50_000))),
    (MULTIPART, b"".join(PART % number for number in range(30_000)) + b"--x--"),
    (FORM, MANY_IDS + b"&name=" + b"%" * (BODY_SIZE - 20_000)),
    (MULTIPART, FILE + b"\r\n--y" * (BODY_SIZE // 6) + b"\r\n--x--"),
]
"""Bodies of forms with their content type: many fields, many escapes, and almost boundaries."""
FORMS_BY_PARSER = 10 if IS_COMPLETE_RUN else 50  # of so many, one gets a body for the parsers
REQUESTS_BY_HEADERS = 20  # of so many requests, one has many headers
EDITED = ("title", "name", "label", "slug", "notes", "objective", "context", "kinds", "tags")
LONG_TEXTS = {"description": 100_000, "content": 100_000, "soul_template": 100_000}
"""Fields of forms in which an edit can conflict, and the maximum lengths of the longest ones."""
EDITS = ("/edit", "changes", "/settings", "/about", "/profile", "/{view_id:uuid}")
"""Ends of the paths of forms that check whether an edit conflicts with another one."""
CONFLICT_UNITS = ("a\n", "> - **_[a](b)_**\n")
"""What the texts of an edit consist of: many lines, and much markup."""
MIN_CONFLICTS = 20 if IS_COMPLETE_RUN else 10  # of the edits that are sent
WITHOUT_FIELDS = ("/sign-out", "/deletions", "/endings", "/departures", "/discards")
"""Ends of the paths of forms without fields, which would end or delete what others need."""
MAX_REFUSED = 20  # operations whose example the rules refuse here, such as answers of a gateway
UNREACHABLE_GATEWAY, CONFLICT = 502, 409
ENDING = ("/users/me", "/organizations/me", "/organizations/me/stop", "/organizations")
"""Operations after which no other one works."""

WorstRequest: TypeAlias = tuple[str, str, list[Header], bytes]
"""Method, address, headers and body."""


@dataclass(frozen=True)
class WorstSite:
    """A server whose database has the worst content of every kind."""

    server: MonitoredServer
    settings: Settings
    objects: ApiObjects
    page_ids: Mapping[str, Sequence[Any]]
    tokens: Mapping[UUID, str]

    @property
    def first_ids(self) -> Mapping[str, Any]:
        """An id for each parameter of an address."""
        names = {name for route in list_routes() for name in PARAMETER.findall(route.path)}
        anything = dict.fromkeys(names, self.objects.world.board.id)
        return anything | {name: values[0] for name, values in self.page_ids.items()}

    @property
    def session(self) -> list[Header]:
        """The headers of the browser of a user."""
        cookie = f"{SESSION_COOKIE}={cookie_secret(self.objects.world.alice)}"
        return [("Cookie", cookie), ("Sec-Fetch-Site", "same-origin")]

    def authorize(self, operation: Operation) -> list[Header]:
        """Return the header of a caller who may call an operation."""
        caller = self.objects.get_allowed_caller(operation)
        token = self.tokens.get(caller.id) or token_secret(caller)
        return [("Authorization", f"Bearer {token}")]


@pytest.fixture(scope="module")
def site(postgres_server: str, template_database: str) -> Iterator[WorstSite]:
    limits = HIGH_RATE_LIMITS | {"rate_limit_pages": 1_000_000, "rate_limit_gateways": 1_000_000}
    with copy_database(template_database, postgres_server, "worst") as settings:
        settings = settings.model_copy(update=limits)
        stored = asyncio.run(store(settings))
        with run_monitored_server(settings) as server:
            yield WorstSite(server, settings, *stored)


async def store(settings: Settings) -> tuple[ApiObjects, dict[str, Any], dict[UUID, str]]:
    engine = create_async_engine(settings.sqlalchemy_url)
    transaction = async_sessionmaker(engine, expire_on_commit=False).begin
    world = await store_world(transaction)
    callers = (world.alice, world.lead, world.worker, world.other_worker)
    tokens = {caller.id: token_secret(caller) for caller in callers}  # before the names change
    async with transaction() as session:
        objects, rows = await store_worst_objects(session, world)
    await engine.dispose()
    ids = dict(collect_page_ids(world, objects.gateway, rows))
    return objects, ids | {"skill_id": [SKILL_ID], "pack_id": [PACK_ID]}, tokens


def walk(site: WorstSite, requests: Sequence[WorstRequest]) -> list[int]:
    """Send requests; return the first status of each.

    Those that hold the loop are sent again, at most MAX_REPEATS times, and the last hold counts:
    other programs slow this one down, also in what is measured as CPU time.
    """
    statuses = []
    for request in requests:
        status = site.server.send(*request)
        statuses.append(status)
        assert status < 500 or status == UNREACHABLE_GATEWAY, (request[1], status)
        assert status not in (401, 429, 431), (request[1], status)
    # By the lowest limit, because that of `check_holds` depends on the moment.
    for _ in range(MAX_REPEATS):
        slow = {hold.place for hold in site.server.holds.values() if hold.seconds > MAX_HOLD}
        for place in slow:
            del site.server.holds[place]
        for request in requests:
            method, address, *_ = request
            path = ID.sub("{id}", address.partition("?")[0])
            if any(f"{method} {path} " in place for place in slow):
                site.server.send(*request)
    return statuses


def check_holds(site: WorstSite) -> None:
    """Print the longest holds, for reports, and check them."""
    holds = sorted(site.server.holds.values(), key=lambda hold: -hold.seconds)
    site.server.holds.clear()
    for hold in holds[:LISTED]:
        print(f"{hold.seconds * 1000:6.0f} ms  {hold.place}")
    limit = calibrate()
    assert [hold for hold in holds if hold.seconds > limit] == [], limit


def test_no_page_or_fragment_holds_the_event_loop(site: WorstSite) -> None:
    addresses = choose_representative_addresses(site.page_ids)
    walk(site, [("GET", one, site.session, b"") for one in addresses])
    check_holds(site)


def test_no_read_or_stream_of_the_api_holds_the_event_loop(site: WorstSite) -> None:
    requests: list[WorstRequest] = []
    for number, operation in enumerate(OPERATIONS):
        if operation.method == "GET":
            url = PREFIX + build_url(operation, site.objects)
            paged = "limit" in getattr(operation.parser.query, "model_fields", ())
            is_stream = operation.response_type is None
            if not (paged or is_stream) and number % SINGLE_READS:
                continue
            more = f"{'&' if '?' in url else '?'}limit={MAX_PAGE_SIZE}" if paged else ""
            requests.append(("GET", url + more, site.authorize(operation), b""))
    requests += [("GET", one, site.session, b"") for one in ("/events", "/audit/export")]
    walk(site, requests)
    check_holds(site)


def test_no_large_or_hostile_body_holds_the_event_loop(site: WorstSite) -> None:
    """Bodies of up to 2 MB for each model of the API and for each form, some with many headers.

    All forms have the same parsers, and all models have the same parser of JSON, so only some get
    the bodies that are hostile for these.
    """
    requests: list[WorstRequest] = []
    for number, operation in [*enumerate(OPERATIONS_BY_BODY)][::MODELS_BY_BODY]:
        url, headers = PREFIX + build_url(operation, site.objects), site.authorize(operation)
        body = build_hostile_body(operation, number)
        requests.append((operation.method, url, [*headers, JSON], body))
    addresses = [
        build_address(route.path, site.first_ids)
        for route in list_routes()
        if "POST" in (route.methods or ()) and not route.path.endswith(WITHOUT_FIELDS)
    ]
    by_parser = zip(addresses[::FORMS_BY_PARSER], cycle(HOSTILE_FORMS), strict=False)
    by_field = (FORM, MANY_IDS + b"&name=" + b"%" * 20_000)
    sent = [*((one, by_field) for one in addresses[::FORMS_BY_BODY]), *by_parser]
    for address, (encoding, body) in sent:
        requests.append(("POST", address, [*site.session, ("Content-Type", encoding)], body))
    for _, _, headers, _ in requests[::REQUESTS_BY_HEADERS]:
        headers += MANY_HEADERS
    walk(site, requests)
    check_holds(site)


def test_no_conflict_of_an_edit_holds_the_event_loop(site: WorstSite) -> None:
    """Edits of the longest texts, which were changed since the page was shown."""
    headers = [*site.session, ("Content-Type", FORM)]
    requests: list[WorstRequest] = []
    for route in list_routes():
        if "POST" in (route.methods or ()) and route.path.endswith(EDITS):
            for unit in select_options(route.path, CONFLICT_UNITS):
                texts = {name: build_text(unit, length) for name, length in LONG_TEXTS.items()}
                if "task_id" not in route.path:
                    texts["description"] = build_text(unit, 20_000)
                fields = dict.fromkeys(EDITED, "Changed") | texts
                shown = {f"shown.{name}": "0" for name in fields}
                body = urlencode(fields | shown).encode()
                address = build_address(route.path, site.first_ids)
                requests.append(("POST", address, headers, body))
    statuses = walk(site, requests)
    assert statuses.count(CONFLICT) >= MIN_CONFLICTS, statuses
    check_holds(site)


def test_no_write_holds_the_event_loop(site: WorstSite) -> None:
    """Valid changes with texts as long as possible; what contains others is deleted last."""
    refused = {}
    for operation in sorted(
        OPERATIONS, key=lambda one: (one.method == "DELETE", -one.path.count("/"))
    ):
        if operation.method == "GET" or operation.path in ENDING:
            continue
        url, headers = PREFIX + build_url(operation, site.objects), site.authorize(operation)
        for length in (100_000, 20_000, 2_000, 0):
            body = json.dumps(build_largest_body(operation, site.objects, length)).encode()
            status = site.server.send(operation.method, url, [*headers, JSON], body)
            if status != 422:
                break
        if status not in (200, 202):
            refused[operation_label(operation)] = status
    assert len(refused) < MAX_REFUSED, refused
    check_holds(site)


def build_hostile_body(operation: Operation, number: int) -> bytes:
    """Return one of several bodies of 2 MB that are wrong in each field."""
    assert operation.parser.body is not None
    names = [field.alias or name for name, field in operation.parser.body.model_fields.items()]
    names = names or ["unknown"]
    size = BODY_SIZE // len(names)
    many = 290_000 // len(names)  # values, and all that is permitted
    values: list[Callable[[], str]] = [
        lambda: f"[{'0,' * many}0]",
        lambda: f"[{'{},' * many}0]",
        lambda: f"[{'[],' * many}0]",
        lambda: "{" + ",".join(f'"{key}":0' for key in range(min(many, size // 11))) + "}",
        lambda: json.dumps("\u202e" * (size // 7)),
        lambda: "[" * 150 + "]" * 150,
    ]
    place = number % (len(values) + 1)
    if place == len(values):
        return b"[" + b"{}," * 600_000 + b"0]"
    value = values[place]()
    return ("{" + ",".join(f'"{name}":{value}' for name in names) + "}").encode()


def build_largest_body(operation: Operation, objects: ApiObjects, length: int) -> Any:
    """Return the example of an operation with texts and objects of a length; 0: as it is."""
    body = build_body(operation, objects)
    model = operation.parser.body
    if body is None or model is None or not length:
        return body
    for name, schema in model.model_json_schema()["properties"].items():
        for one in schema.get("anyOf", [schema]):
            if one.get("type") == "string" and one.get("maxLength", 0) >= 1_000:
                body[name] = build_text("> - **_[a](b)_**\n", min(length, one["maxLength"]))
            elif one.get("type") == "object" and name == "payload":
                body[name] = json.loads(build_payload("<&😀"))
    return body
