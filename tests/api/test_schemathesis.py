"""Every operation is called with what the document allows, and with what it forbids.

Whoever calls, no answer is a failure of ours, and each is as the document says. What is sent is the
same in every run.
"""

from collections.abc import Iterator
from functools import cache
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
from api.openapi import document
from api.operations import PREFIX, Operation
from models import Agent, User
from tests.api.conftest import Caller, Client
from tests.api.walking import Things, named, things
from tests.conftest import Transaction
from tests.world import World

EXAMPLES = 2  # of each kind, for each operation
CHECKS: list[Any] = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ANSWERING = [operation for operation in OPERATIONS if operation.gives is not None]
NOT_OURS = {"User-Agent", "Authorization", "Connection", "Accept-Encoding"}
SERVER = "http://mission.test"

load_all_checks()
SCHEMA = schemathesis.openapi.from_dict(document(OPERATIONS))


@cache
def described() -> dict[tuple[str, str], Any]:
    results: list[Any] = list(SCHEMA.get_all_operations())
    found = [result.ok() for result in results]
    return {(one.method.upper(), one.path): one for one in found}


def cases(operation: Operation) -> Iterator[Case]:
    """Yield what is to be sent: some of it as it must be, and some not."""
    told = described()[operation.method, PREFIX + operation.path]
    yield from made(told.as_strategy(generation_mode=GenerationMode.POSITIVE))
    if operation.reads.body or operation.reads.query:
        yield from made(told.as_strategy(generation_mode=GenerationMode.NEGATIVE))


def made(strategy: SearchStrategy[Case]) -> list[Case]:
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


def callers(world: World) -> list[User | Agent]:
    """Return a stranger, a member without rights, a worker, a lead, and the owner, in this order.

    Whoever may do the most comes last, so that the others find something.
    """
    return [world.charlie, world.rita, world.worker, world.lead, world.alice]


async def sent(client: Client, case: Case, path: str | None) -> Response:
    """Send a case, to its own path or to another, and return the answer as the checks take it."""
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


@pytest.mark.parametrize("operation", ANSWERING, ids=named)
async def test_every_answer_is_as_the_document_says(
    operation: Operation, calling: Caller, world: World, transaction: Transaction
) -> None:
    async with transaction() as session:
        there: Things = await things(session, world)
    sending = list(cases(operation))
    for caller in callers(world):
        client = calling(caller)
        for n, case in enumerate(sending):
            answer = await sent(client, case, None if n % 2 else there.path(operation))
            assert answer.status_code != 500, case.as_curl_command()
            case.validate_response(answer, checks=CHECKS)
