"""Every stream accepts the parameters of clients that send a variable without a value."""

from starlette.types import ASGIApp

from api.app import OPERATIONS
from core.db.engine import TransactionFactory
from tests.support.api_fixtures import ClientFactory
from tests.support.api_objects import create_api_objects
from tests.support.stream_client import open_stream
from tests.support.world import World

STREAMS = [one for one in OPERATIONS if one.path.endswith("/stream")]


async def test_empty_parameters_of_a_stream_count_as_absent(
    committing_api_app: ASGIApp,
    committing_client_for: ClientFactory,
    isolated_world: World,
    isolated_transaction: TransactionFactory,
) -> None:
    async with isolated_transaction() as session:
        objects = await create_api_objects(session, isolated_world)
    assert len(STREAMS) == 8
    for operation in STREAMS:
        path, caller = objects.build_path(operation), objects.get_allowed_caller(operation)
        assert operation.parser.query is not None
        names = list(operation.parser.query.model_fields)
        for query in ("since=null", "&".join(f"{name}=" for name in names), "since=%20"):
            async with open_stream(committing_api_app, caller, f"{path}?{query}") as stream:
                assert stream.status == 200, (path, query)
        for name in names:
            refused = await committing_client_for(caller).get(f"{path}?{name}=nonsense")
            assert refused.status_code == 422
            assert refused.json()["detail"][0]["loc"] == ["query", name]


async def test_the_last_event_of_a_stream_has_at_most_18_digits(
    committing_api_app: ASGIApp,
    committing_client_for: ClientFactory,
    isolated_world: World,
    isolated_transaction: TransactionFactory,
) -> None:
    async with isolated_transaction() as session:
        objects = await create_api_objects(session, isolated_world)
    for operation in STREAMS:
        path, caller = objects.build_path(operation), objects.get_allowed_caller(operation)
        for text in ("0", "9" * 18):
            headers = {"Last-Event-ID": text}
            async with open_stream(committing_api_app, caller, path, **headers) as stream:
                assert stream.status == 200, path
        for text in ("-1", "+1", "1.0", "\xb2", str(2**63), "9" * 5_000):
            last = [(b"Last-Event-ID", text.encode("latin-1"))]
            refused = await committing_client_for(caller).get(path, headers=last)
            assert (refused.status_code, refused.json()["code"]) == (422, "invalid_event_id"), path
