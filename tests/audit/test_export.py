"""Reading and exporting the audit, and finding every manipulation of an export."""

import json
import re
from itertools import product
from typing import Any
from uuid import uuid4

import pytest

from cli import audit as audit_command
from core.canonical_json import format_canonical_json
from core.clock import now
from core.db.engine import TransactionFactory
from services import audit
from tests.support.api_fixtures import Client
from tests.support.world import World
from tests.web.conftest import Browsers

AUDIT = "/organizations/me/audit"
INSTALLATION = "/installation/audit"
TITLES = ["Count", "Weigh", "Draw", "Name", "Ring"]


@pytest.fixture
async def lines(alice: Client, world: World) -> list[bytes]:
    """The lines of an export with six records."""
    for title in TITLES:
        await alice.post(f"/boards/{world.board.id}/tasks", json={"title": title})
    exported = await alice.get(f"{AUDIT}/export")
    assert exported.headers["Content-Type"] == "application/x-ndjson"
    return exported.content.splitlines(keepends=True)


def change(line: bytes, **values: Any) -> bytes:
    return format_canonical_json(json.loads(line) | values).encode() + b"\n"


def rehash(line: bytes, **values: Any) -> bytes:
    record = json.loads(line) | values
    return change(line, **values, hash=audit.compute_hash(record))


async def test_an_unchanged_export_is_valid(lines: list[bytes], world: World) -> None:
    result = audit.verify_export(lines)
    assert result.problem is None
    assert (result.first, result.last, result.count) == (1, 6, 6)
    assert result.organization_id == str(world.tern.id)
    assert result.head == json.loads(lines[-2])["hash"]


async def test_an_edited_record_is_found(lines: list[bytes]) -> None:
    fields = ["actor_name", "at", "after", "hash", "organization_id"]
    for number, field in product(range(1, 7), fields):
        damaged = [*lines]
        damaged[number] = change(lines[number], **{field: "edited"})
        problem = audit.verify_export(damaged).problem
        assert problem is not None, (number, field)
        assert f"Line {number + 1} has record {number}, which was edited" in problem


async def test_an_edited_record_with_a_new_hash_is_found(lines: list[bytes]) -> None:
    for number in range(1, 6):
        damaged = [*lines]
        damaged[number] = rehash(lines[number], actor_name="Mallory")
        problem = audit.verify_export(damaged).problem
        assert problem is not None, number
        assert f"record {number + 1}, which does not follow the record before it" in problem


async def test_the_last_record_with_a_new_hash_is_found(lines: list[bytes]) -> None:
    damaged = [*lines[:-2], rehash(lines[-2], actor_name="Mallory"), lines[-1]]
    problem = audit.verify_export(damaged).problem
    assert problem is not None
    assert "the end was removed or replaced" in problem


async def test_a_removed_record_is_found(lines: list[bytes]) -> None:
    for number in range(1, 6):
        result = audit.verify_export(lines[:number] + lines[number + 1 :])
        assert result.problem is not None, number
        assert f"has record {number + 1} where record {number} must be" in result.problem
        assert result.last == number - 1


async def test_a_removed_record_is_found_after_renumbering(lines: list[bytes]) -> None:
    for number in range(1, 6):
        rest = [rehash(line, sequence=number + n) for n, line in enumerate(lines[number + 1 : -1])]
        problem = audit.verify_export([*lines[:number], *rest, lines[-1]]).problem
        assert problem is not None, number
        assert "does not follow the record before it" in problem


async def test_swapped_records_are_found(lines: list[bytes]) -> None:
    for number in range(1, 6):
        damaged = [*lines]
        damaged[number], damaged[number + 1] = damaged[number + 1], damaged[number]
        problem = audit.verify_export(damaged).problem
        assert problem is not None, number
        assert f"Line {number + 1} has record {number + 1} where record {number} must be" in problem


async def test_a_truncated_export_is_found(lines: list[bytes]) -> None:
    for kept in range(1, 8):
        without_footer = audit.verify_export(lines[:kept]).problem
        assert without_footer is not None, kept
        assert "it is truncated" in without_footer
        if kept < 7:
            moved_footer = audit.verify_export([*lines[:kept], lines[-1]]).problem
            assert moved_footer is not None, kept
            assert "the end was removed or replaced" in moved_footer


async def test_a_repeated_record_and_lines_after_the_end_are_found(lines: list[bytes]) -> None:
    repeated = audit.verify_export([*lines[:3], lines[2], *lines[3:]]).problem
    appended = audit.verify_export([*lines, lines[1]]).problem
    assert "has record 2 where record 3 must be" in str(repeated)
    assert "follows the closing line" in str(appended)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"[]\n", b'{"a":1,"a":2}\n', b"{\n", b"\xff\n", b"[" * 100_000]
)
def test_a_file_that_is_no_export_is_reported(content: bytes) -> None:
    assert audit.verify_export(content.splitlines(keepends=True)).problem is not None


async def test_a_later_export_continues_an_earlier_one(
    alice: Client, world: World, lines: list[bytes]
) -> None:
    await alice.post(f"/boards/{world.board.id}/tasks", json={"title": "Later"})
    later = await alice.get(f"{AUDIT}/export?after=6")
    continued = later.content.splitlines(keepends=True)
    result = audit.verify_export(continued)
    assert (result.problem, result.first, result.last) == (None, 7, 8)
    assert json.loads(continued[0])["previous_hash"] == json.loads(lines[-2])["hash"]
    assert (await alice.get(f"{AUDIT}/export?after=999")).status_code == 404


async def test_the_command_verifies_a_file(
    lines: list[bytes], tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "audit.jsonl"
    file.write_bytes(b"".join(lines))
    assert audit_command.main(["verify", str(file)]) == 0
    head = json.loads(lines[-2])["hash"]
    assert head in capsys.readouterr().out
    assert audit_command.main(["verify", str(file), "--head", head]) == 0
    assert audit_command.main(["verify", str(file), "--head", "0" * 64]) == 1
    file.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    assert audit_command.main(["verify", str(file)]) == 1
    assert "record 3 where record 2 must be" in capsys.readouterr().err
    assert audit_command.main(["verify", str(tmp_path / "missing")]) == 1


async def test_admins_list_and_filter_the_audit(
    dana: Client, lines: list[bytes], world: World
) -> None:
    async def list_names(query: str) -> list[str | None]:
        page = (await dana.get(f"{AUDIT}?{query}")).json()
        return [item["object_name"] for item in page["items"] if item["action"] == "task.created"]

    assert await list_names("") == TITLES[::-1]
    assert await list_names("action=task&limit=2") == ["Ring", "Name"]
    assert await list_names("action=member") == []
    assert await list_names("action=task.created&object=wei") == ["Weigh"]
    assert await list_names(f"actor_id={world.alice.id}") == TITLES[::-1]
    assert await list_names(f"actor_id={world.bob.id}") == []
    assert await list_names("since=2020-01-01T00:00:00") == TITLES[::-1]
    assert await list_names("until=2020-01-01T00:00:00") == []
    total = (await dana.get(f"{AUDIT}?action=task")).json()["total"]
    assert total == len(TITLES)


@pytest.mark.parametrize("path", [AUDIT, f"{AUDIT}/export"])
async def test_only_admins_read_the_audit(
    bob: Client, worker: Client, anonymous: Client, charlie: Client, world: World, path: str
) -> None:
    assert (await bob.get(path)).status_code == 403
    assert (await worker.get(path)).status_code == 401
    assert (await anonymous.get(path)).status_code == 401
    theirs = await charlie.get(path)
    assert theirs.status_code == 200
    assert str(world.tern.id) not in theirs.text


@pytest.mark.parametrize("path", [INSTALLATION, f"{INSTALLATION}/export"])
async def test_only_owners_of_the_first_organization_read_the_installation(
    alice: Client, dana: Client, charlie: Client, worker: Client, anonymous: Client, path: str
) -> None:
    assert (await alice.get(path)).status_code == 200
    assert (await dana.get(path)).status_code == 403
    assert (await charlie.get(path)).status_code == 403
    assert (await worker.get(path)).status_code == 401
    assert (await anonymous.get(path)).status_code == 401


async def test_the_page_shows_and_filters_the_audit(
    browsers: Browsers, alice: Client, world: World, lines: list[bytes]
) -> None:
    browser = browsers(world.dana)
    page = (await browser.get("/audit")).text
    assert all(title in page for title in TITLES)
    assert "task created" in page
    assert ">Installation</a>" not in page
    filtered = (await browser.get("/audit?action=task.created&object=Weigh")).text
    assert "Weigh" in filtered
    assert "Draw" not in filtered
    assert "No record matches" in (await browser.get("/audit?until=2020-01-01")).text
    assert "Weigh" in (await browser.get(f"/audit?until={now():%Y-%m-%d}")).text  # the whole day
    exported = await browser.get("/audit/export")
    assert audit.verify_export(exported.content.splitlines(keepends=True)).problem is None
    assert (await browser.get("/audit?chain=installation")).status_code == 403
    assert (await browser.get("/audit/export?chain=installation")).status_code == 403
    for stranger in (world.bob, world.rita):
        assert (await browsers(stranger).get("/audit")).status_code == 403
        assert (await browsers(stranger).get("/audit/export")).status_code == 403
    foreign = (await browsers(world.charlie).get("/audit")).text
    assert not any(title in foreign for title in TITLES)


async def test_owners_of_the_first_organization_see_the_installation(
    browsers: Browsers, transaction: TransactionFactory, world: World
) -> None:
    await audit.record_failed_sign_in(transaction, "nobody@example.com")
    page = (await browsers(world.alice).get("/audit?chain=installation")).text
    assert "nobody@example.com" in page
    assert "sign-in failed" in page


async def test_filters_of_the_page_accept_any_text(browsers: Browsers, world: World) -> None:
    for query in (
        "actor=x",
        "action=%00",
        "object=%25_%5C",
        "since=0001-01-01",
        "until=9999-12-31",
    ):
        assert (await browsers(world.alice).get(f"/audit?{query}")).status_code == 200


async def test_an_actor_who_is_gone_stays_the_chosen_filter(
    browsers: Browsers, world: World
) -> None:
    role = f"/people/{world.rita_member.id}/roles"
    assert (await browsers(world.dana).post(role, data={"role": "admin"})).status_code == 303
    browser = browsers(world.alice)
    await browser.post(f"/people/{world.dana_member.id}/endings")
    for actor, name in ((world.dana.id, world.dana.name), (uuid4(), "Unknown")):
        page = (await browser.get(f"/audit?actor={actor}")).text
        assert f'<input type="hidden" name="actor" value="{actor}">' in page
        assert re.search(rf'id="field-actor-value"[^\n]*>{name}</span>', page), page


@pytest.mark.parametrize("text", [r'"\ud800"', "[" * 3000 + "]" * 3000], ids=["surrogate", "deep"])
def test_a_record_that_cannot_be_hashed_is_named(text: str) -> None:
    header = {"format": "mission-control-audit-1", "after": 0, "previous_hash": "0" * 64}
    record = f'{{"sequence":1,"hash":"0","after":{text}}}'
    problem = audit.verify_export([json.dumps(header).encode(), record.encode()]).problem
    assert problem is not None
    assert problem.startswith("Line 2 ")
