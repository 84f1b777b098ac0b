"""The contents of gateway requests: what is shown, hashed, masked, and protected."""

import json
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core.canonical_json import hash_json
from models import GatewayRequest, RequestKind, RequestState
from services.gateways.requests.parser import ParsedRequest
from services.gateways.requests.parser import parse_request as read
from tests.support.gateway_recordings import VERSIONS, iterate_changes, load_recording
from tests.support.people_rows import token_secret
from tests.support.requests_gateway import COLOUR, RequestsHarness, agent_key, sha256_of

COMMAND = "rm -rf 'build'  --  ./out\n# then nothing"
SENT = ("approvalKind", "id", "createdAtMs", "expiresAtMs", "request")
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
    sent = {name: harness.fake.approvals["a-1"][name] for name in SENT}
    unmasked_hash = hash_json(sent)
    assert request.sha256 == unmasked_hash
    assert request.content
    assert token not in str(request.content)
    assert request.content["request"]["warningText"] == "mc_agent_***!"
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


async def test_the_database_completes_the_rows_of_older_code(
    harness: RequestsHarness,
) -> None:
    """During an update the old version continues, and stores less."""
    request = await harness.create_request()
    columns = [one.name for one in GatewayRequest.__table__.columns]
    new = {"id": "gen_random_uuid()", "request_id": "'a-2'", "exact": "'ls -l'", "sha256": "null"}
    new |= {"title": "null", "is_masked": "null", "content": "null"}
    values = ", ".join(new.get(name, name) for name in columns)
    copied = f"insert into gateway_requests ({', '.join(columns)}) select {values}"
    async with harness.transaction() as session:
        await session.execute(text(f"{copied} from gateway_requests"))
    [made] = [one for one in await harness.list_requests() if one.id != request.id]
    assert (made.exact, made.sha256) == ("ls -l", sha256_of("ls -l"))
    assert (made.title, made.is_masked) == ("ls -l", False)


async def test_the_database_rejects_changes_of_contents_and_answers(
    harness: RequestsHarness,
) -> None:
    request = await harness.create_request()
    await harness.answer_request(harness.world.bob, request, decision=ONCE)
    changes: list[dict[str, Any]] = [
        {"exact": "ls -l"},
        {"sha256": "0" * 64},
        {"cwd": "/"},
        {"content": {"request": {"command": "ls -l"}}},
        {"content": None},
        {"title": "ls -l"},
        {"is_masked": True},
        {"request_id": "a-2"},
        {"answer": {"decision": DENY}},
        {"answered_by": "Rita"},
        {"answered_at": None},
    ]
    for change in changes:
        with pytest.raises(DBAPIError, match="is never changed"):
            await harness.update_row(request, **change)


async def test_the_database_rejects_another_author_of_an_answer(harness: RequestsHarness) -> None:
    request = await harness.create_request()
    await harness.answer_request(harness.world.bob, request, decision=ONCE)
    with pytest.raises(DBAPIError, match="is never changed"):
        await harness.update_row(request, answered_by_user_id=harness.world.alice.id)


ROW = {"id": "x", "createdAtMs": 1, "expiresAtMs": 2}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_field_of_a_recorded_request_changes_its_hash(version: str) -> None:
    """The same command with other variables, or for an automation, had the same hash."""
    for name, row in load_recording(version)["requests"].items():
        first = read(RequestKind.EXEC, row)
        assert first, name
        assert not _row(first).is_masked
        hashes = {first.hash.sha256}
        for change, changed in iterate_changes(row):
            other = read(RequestKind.EXEC, changed)
            if change == "approvalKind removed":  # older versions do not send it
                assert other == first
                continue
            if other is None:
                assert change.split(".")[-1] in NECESSARY, (name, change)
                continue
            assert other.hash.sha256 not in hashes, (name, change)
            hashes.add(other.hash.sha256)
            assert other.content != first.content, (name, change)


NECESSARY = [
    *("id removed", "createdAtMs removed", "expiresAtMs removed"),
    *("request removed", "command removed"),
]


def test_a_binding_with_masked_secrets_is_kept_as_its_hash() -> None:
    """A gateway masks secrets in the command, and repeats it in the binding as it is."""
    row = load_recording()["requests"]["automation"]
    binding = row["request"]["cronOperationBinding"]
    parsed = read(RequestKind.EXEC, row)
    assert parsed
    assert parsed.content
    kept = parsed.content["request"]["cronOperationBinding"]
    assert (kept, binding in str(parsed)) == (f"sha256:{hash_json(binding)}", False)


@pytest.mark.parametrize(
    "part",
    [
        {"cwd": "x" * 250_001},
        {"cwd": "\0"},
        {"resolvedPath": "\ud800"},
        {"later": {"deep": [[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]}},
        {"later": [1] * 10_001},
        {"later": {str(n): n for n in range(10_001)}},
        {"later": float("inf")},
        {"mc_agent_abcdefgh": 1, "mc_agent_ijklmnop": 2},
        {"cronOperationBinding": "\ud800"},
    ],
)
def test_a_command_that_cannot_be_shown_completely_is_not_shown(part: dict[str, Any]) -> None:
    assert read(RequestKind.EXEC, ROW | {"request": {"command": "ls"}})
    assert read(RequestKind.EXEC, ROW | {"request": {"command": "ls"} | part}) is None


@pytest.mark.parametrize(
    "part",
    [
        {"resolvedPath": 5},
        {"argv": "ls"},
        {"envKeys": {"A": 5}},
        {"commandAnalysis": []},
        {"scope": "all"},
        {"later": {"deep": [[["x"]]]}},
    ],
)
def test_values_of_unexpected_types_are_kept(part: dict[str, Any]) -> None:
    parsed = read(RequestKind.EXEC, ROW | {"request": {"command": "ls"} | part})
    assert parsed
    assert parsed.content
    assert parsed.content["request"] == {"command": "ls"} | part


def _row(parsed: ParsedRequest) -> GatewayRequest:
    return GatewayRequest(**parsed.columns)


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
    assert found[0].error.startswith("The gateway now uses the")  # delivered or listed first
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
        {"id": "x", "request": {"command": "l" * 250_001}, "createdAtMs": 1, "expiresAtMs": 2},
        {"id": "x", "request": {"command": "ls"}, "createdAtMs": "soon", "expiresAtMs": 2},
        {"id": 1, "request": {"command": "ls"}, "createdAtMs": 1, "expiresAtMs": 2},
        {"id": "x", "request": [], "createdAtMs": 1, "expiresAtMs": 1e300},
    ],
)
def test_a_command_that_cannot_be_shown_exactly_is_not_shown(content: Any) -> None:
    assert read(RequestKind.EXEC, content) is None


@pytest.mark.parametrize(
    "questions",
    [
        *([], "x", [1], [{}], [COLOUR | {"options": "x"}]),
        [COLOUR | {"options": [{"label": ""}]}],
        [COLOUR | {"later": [[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]}],
        [COLOUR | {"later": [1] * 10_001}],
        [COLOUR | {"header": "x" * 250_001}],
    ],
)
def test_invalid_questions_are_not_shown(questions: Any) -> None:
    content = {"id": "q", "questions": questions, "createdAtMs": 1, "expiresAtMs": 2}
    assert read(RequestKind.QUESTION, content) is None


def test_a_half_of_an_emoji_in_a_question_is_replaced() -> None:
    """An agent or a gateway has cut the text there; the API could not send it."""
    options = [{"label": "Blue", "description": "Cut \ud83d"}]
    questions = [COLOUR | {"options": options, "header": "Cut \ud83d", "\ud83d": 1}]
    content = {"id": "q", "questions": questions, "createdAtMs": 1, "expiresAtMs": 2}
    parsed = read(RequestKind.QUESTION, content)
    assert parsed
    [shown] = json.loads(parsed.exact)
    assert (shown["header"], shown["options"][0]["description"]) == ("Cut ?", "Cut ?")
    assert shown["?"] == 1
    assert not parsed.is_masked
