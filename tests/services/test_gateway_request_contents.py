"""The contents of gateway requests: what is shown, hashed, masked, and protected."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core.canonical_json import hash_json
from models import GatewayRequest, RequestKind, RequestState
from services.gateways.requests.parser import parse_request as read
from tests.support.people_rows import token_secret
from tests.support.requests_gateway import COLOUR, RequestsHarness, agent_key, sha256_of

COMMAND = "rm -rf 'build'  --  ./out\n# then nothing"
ONCE, DENY = "allow-once", "deny"
WAITING, ANSWERED, LOST = RequestState.WAITING, RequestState.ANSWERED, RequestState.LOST


async def test_tokens_in_requests_are_masked_and_the_hash_is_exact(
    harness: RequestsHarness,
) -> None:
    token, other = token_secret(harness.world.worker), token_secret(harness.world.lead)
    command = f"curl -H 'X-Agent-Token: {token}' {harness.gateway.url}"
    context = {"cwd": f"/{token}", "resolvedPath": f"/bin/{token}", "warningText": f"{token}!"}
    request = await harness.create_request(command=command, **context)
    assert request.command == f"curl -H 'X-Agent-Token: mc_agent_***' {harness.gateway.url}"
    everything = {"command": command, "cwd": f"/{token}", "host": "gateway"}
    unmasked_hash = hash_json(everything | {"path": f"/bin/{token}"})
    assert request.sha256 == unmasked_hash
    assert request.is_masked
    assert not (await harness.create_request("a-2")).is_masked
    await harness.fake.ask_questions("q-1", {**COLOUR, "question": f"Is {token} or {other} blue?"})
    async with harness.run_worker():
        [*_, question] = await harness.wait_for(
            lambda: harness.requests_in(WAITING, WAITING, WAITING)
        )
        assert question.questions[0]["question"] == "Is mc_agent_*** or mc_agent_*** blue?"
        assert question.is_masked
        for one in (request, question):
            answer = {"decision": ONCE} if one is request else {"answers": {"colour": ["Blue"]}}
            await harness.answer_request(harness.world.alice, one, **answer)
        await harness.wait_for(lambda: harness.requests_in(ANSWERED, WAITING, ANSWERED))
    for table in ("gateway_requests", "activity_events"):
        async with harness.transaction() as session:
            rows = await session.scalars(text(f"select one::text from {table} as one"))
            kept = "\n".join(rows)
        assert unmasked_hash in kept
        assert token not in kept
        assert other not in kept


async def test_the_database_completes_the_hash_for_older_code(
    harness: RequestsHarness,
) -> None:
    """During an update the old version continues, and stores no hash."""
    request = await harness.create_request()
    columns = [one.name for one in GatewayRequest.__table__.columns]
    new = {"id": "gen_random_uuid()", "request_id": "'a-2'", "exact": "'ls -l'", "sha256": "null"}
    values = ", ".join(new.get(name, name) for name in columns)
    copied = f"insert into gateway_requests ({', '.join(columns)}) select {values}"
    async with harness.transaction() as session:
        await session.execute(text(f"{copied} from gateway_requests"))
    [made] = [one for one in await harness.list_requests() if one.id != request.id]
    assert (made.exact, made.sha256) == ("ls -l", sha256_of("ls -l"))


@pytest.mark.parametrize(
    "change",
    [
        {"exact": "ls -l"},
        {"sha256": "0" * 64},
        {"cwd": "/"},
        {"request_id": "a-2"},
        {"answer": {"decision": DENY}},
        {"answered_by": "Rita"},
        {"answered_at": None},
    ],
)
async def test_the_database_rejects_changes_of_contents_and_answers(
    harness: RequestsHarness, change: dict[str, Any]
) -> None:
    request = await harness.create_request()
    await harness.answer_request(harness.world.bob, request, decision=ONCE)
    with pytest.raises(DBAPIError, match="is never changed"):
        await harness.update_row(request, **change)


async def test_the_database_rejects_another_author_of_an_answer(harness: RequestsHarness) -> None:
    request = await harness.create_request()
    await harness.answer_request(harness.world.bob, request, decision=ONCE)
    with pytest.raises(DBAPIError, match="is never changed"):
        await harness.update_row(request, answered_by_user_id=harness.world.alice.id)


ENVIRONMENT = {"TOKEN": "secret", "LANG": "C"}


@pytest.mark.parametrize(
    "change",
    [
        {"command": "ls -la"},
        {"cwd": "/"},
        {"host": "node"},
        {"nodeId": "n-1"},
        {"resolvedPath": "/tmp/ls"},
        {"argv": ["ls", "-l", ""]},
        {"commandArgv": ["ls"]},
        {"env": ENVIRONMENT | {"TOKEN": "other"}},
        {"env": {"TOKEN": "secret"}},
        {"systemRunPlan": {"steps": ["ls", "rm"]}},
    ],
)
def test_the_hash_covers_everything_that_will_run(change: dict[str, Any]) -> None:
    """The hash was that of the command only."""
    content = {
        "command": "ls -l",
        "cwd": "/work",
        "host": "gateway",
        "resolvedPath": "/bin/ls",
        "argv": ["ls", "-l"],
        "env": ENVIRONMENT,
        "systemRunPlan": {"steps": ["ls"]},
    }
    row = {"id": "x", "createdAtMs": 1, "expiresAtMs": 2}
    if "commandArgv" in change:
        del content["argv"]
    first = read(RequestKind.EXEC, row | {"request": content})
    other = read(RequestKind.EXEC, row | {"request": content | change})
    assert first
    assert other
    assert first.sha256 != other.sha256
    assert first.context
    names = {"host", "path", "environment", "plan"}
    assert first.context.keys() - {"argv"} == names
    assert first.context["environment"]["TOKEN"] == sha256_of("secret")


@pytest.mark.parametrize(
    "part",
    [
        {"cwd": "x" * 100_001},
        {"resolvedPath": 5},
        {"argv": "ls"},
        {"argv": ["x" * 60_000, "x" * 60_000]},
        {"env": {"A": 5}},
        {"env": ["A=5"]},
        {"systemRunPlan": {"text": "x" * 100_001}},
    ],
)
def test_a_command_that_cannot_be_shown_completely_is_not_shown(part: dict[str, Any]) -> None:
    row = {"id": "x", "createdAtMs": 1, "expiresAtMs": 2}
    assert read(RequestKind.EXEC, row | {"request": {"command": "ls"} | part}) is None


async def test_the_same_id_with_another_content_is_another_request(
    harness: RequestsHarness,
) -> None:
    first = await harness.create_request("a-1", command="ls")
    await harness.answer_request(harness.world.bob, first, decision=ONCE)
    await harness.fake.request_approval(
        "a-1", "rm -rf /", agent_key(harness.world.worker), silently=True
    )
    async with harness.run_worker():
        found = await harness.wait_for(lambda: harness.requests_in(LOST, WAITING))
    assert found[0].error.startswith("The gateway asks something else")  # delivered or listed first
    assert (found[1].command, found[1].answer) == ("rm -rf /", None)
    assert harness.fake.approvals["a-1"]["status"] == "pending"


@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        {"id": "x", "request": {"command": ""}, "createdAtMs": 1, "expiresAtMs": 2},
        {"id": "x", "request": {"command": "ls\0"}, "createdAtMs": 1, "expiresAtMs": 2},
        {"id": "x", "request": {"command": "ls\ud800"}, "createdAtMs": 1, "expiresAtMs": 2},
        {"id": "x", "request": {"command": "l" * 100_001}, "createdAtMs": 1, "expiresAtMs": 2},
        {"id": "x", "request": {"command": "ls"}, "createdAtMs": "soon", "expiresAtMs": 2},
        {"id": 1, "request": {"command": "ls"}, "createdAtMs": 1, "expiresAtMs": 2},
        {"id": "x", "request": [], "createdAtMs": 1, "expiresAtMs": 1e300},
    ],
)
def test_a_command_that_cannot_be_shown_exactly_is_not_shown(content: Any) -> None:
    assert read(RequestKind.EXEC, content) is None


@pytest.mark.parametrize(
    "questions",
    [[], "x", [1], [{}], [{**COLOUR, "options": "x"}], [{**COLOUR, "options": [{"label": ""}]}]],
)
def test_invalid_questions_are_not_shown(questions: Any) -> None:
    content = {"id": "q", "questions": questions, "createdAtMs": 1, "expiresAtMs": 2}
    assert read(RequestKind.QUESTION, content) is None
