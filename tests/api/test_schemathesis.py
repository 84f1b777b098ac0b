"""Every operation is called with input that the document allows, and with input that it forbids.

For every caller, no response is a server error, and each matches the document. The input is the
same in every run.
"""

from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy
from schemathesis import Case, Response
from schemathesis.checks import load_all_checks
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import OPERATIONS
from api.framework.auth import AllowedCaller
from api.framework.operation import PREFIX, Operation
from core.db.engine import TransactionFactory
from models import Agent, User
from tests.conftest import rolled_back_changes
from tests.support.api_document import DOCUMENT
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.api_objects import ApiObjects, create_api_objects, operation_label
from tests.support.tiers import IS_COMPLETE_RUN, select_options
from tests.support.world import World

EXAMPLES = 2 if IS_COMPLETE_RUN else 1  # of each kind, for each operation
CHECKS: list[Any] = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ANSWERING = [operation for operation in OPERATIONS if operation.response_type is not None]
NOT_OURS = {"User-Agent", "Authorization", "Connection", "Accept-Encoding"}
SERVER = "http://mission.test"

load_all_checks()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)


@cache
def described() -> dict[tuple[str, str], Any]:
    results: list[Any] = list(SCHEMA.get_all_operations())
    found = [result.ok() for result in results]
    return {(one.method.upper(), one.path): one for one in found}


def generate_cases(operation: Operation, known: set[Any]) -> Iterator[Case]:
    """Yield test cases, valid and invalid ones.

    Invalid ones take most of the time. Operations for users and agents have the same models, so
    without a complete run only the first one of those with equal models gets them.
    """
    operation_schema = described()[operation.method, PREFIX + operation.path]
    yield from draw_cases(operation_schema.as_strategy(generation_mode=GenerationMode.POSITIVE))
    models = operation.parser.body, operation.parser.query
    if any(models) and (IS_COMPLETE_RUN or models not in known):
        known.add(models)
        yield from draw_cases(operation_schema.as_strategy(generation_mode=GenerationMode.NEGATIVE))


def draw_cases(strategy: SearchStrategy[Case]) -> list[Case]:
    """Return some cases, the same in every run."""
    found: list[Case] = []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def make(case: Case) -> None:
        found.append(case)

    make()
    return found[:EXAMPLES]


def list_callers(operation: Operation, world: World) -> list[User | Agent]:
    """Return a foreign user, a member without rights, a worker, a lead, and the owner.

    The callers with more rights come last, so that the others find objects. Only a complete run has
    all. Without it there is one who may call the operation: test_openapi.py has the refused ones.
    """
    refused, allowed = [world.charlie, world.rita, world.worker], [world.lead, world.alice]
    if IS_COMPLETE_RUN:
        return [*refused, *allowed]
    by_kind = {AllowedCaller.AGENT: allowed[:1], AllowedCaller.USER: allowed[1:]}
    label = operation_label(operation)
    return [*by_kind.get(operation.allowed_caller, select_options(label, allowed))]


async def send_case(client: Client, case: Case, path: str | None) -> Response:
    """Send a case to its own path or another, and return the response for the checks."""
    kwargs = case.as_transport_kwargs()
    headers = {name: text for name, text in kwargs["headers"].items() if name not in NOT_OURS}
    body = {name: kwargs[name] for name in ("json", "data") if name in kwargs}
    content = {"content": body["data"]} if "data" in body else body
    url = SERVER + (PREFIX + path if path else kwargs["url"])
    answer = await client.request(
        kwargs["method"], url, params=kwargs.get("params"), headers=headers, **content
    )
    request = requests.Request(kwargs["method"], url).prepare()
    several = {name: answer.headers.get_list(name) for name in answer.headers}
    return Response(answer.status_code, several, answer.content, request, 0.0, verify=False)


@pytest.mark.usefixtures("without_waits")
async def test_every_response_matches_the_document(
    subtests: pytest.Subtests,
    client_for: ClientFactory,
    world: World,
    transaction: TransactionFactory,
) -> None:
    async with transaction() as session:
        objects: ApiObjects = await create_api_objects(session, world)
    known: set[Any] = set()
    for operation in ANSWERING:
        with subtests.test(operation_label(operation)):
            sending = [
                (case, None if n % 2 else objects.build_path(operation))
                for n, case in enumerate(generate_cases(operation, known))
            ]
            clients = [client_for(caller) for caller in list_callers(operation, world)]
            async with rolled_back_changes(transaction):
                for client, (case, path) in product(clients, sending):
                    answer = await send_case(client, case, path)
                    assert answer.status_code != 500, case.as_curl_command()
                    case.validate_response(answer, checks=CHECKS)
