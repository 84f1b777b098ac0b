"""Clients that are generated from our OpenAPI document compile, and make a call of each kind.

The tests run with `./run test --clients`, which installs the generators once
(docs/decisions/generated-clients.md).
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.app import OPERATIONS
from api.openapi.document import render_json
from core.config.settings import Settings
from tests.support.client_generators import install_client_generators
from tests.support.live_server import run_server
from tests.support.people_rows import token_secret
from tests.support.world import World

pytestmark = pytest.mark.skipif(
    not os.environ.get("MC_TEST_CLIENTS"),
    reason="needs generators of clients: ./run test --clients",
)

UNSUPPORTED = [
    "POST /api/v1/boards/{board_id}/webhooks/{webhook_id}",  # accepts any content type
    "GET /api/v1/organizations/me/audit/export",  # lines of JSON
    "GET /api/v1/installation/audit/export",
]
"""What openapi-python-client omits: an operation, and two responses."""

OPTIONAL = "--default-non-nullable=false"  # a field with a default may be omitted
PYTHON = """
import sys
from uuid import UUID
from client import AuthenticatedClient
from client.api.agent import agent_heartbeat_api_v1_agent_heartbeat_post as agent_heartbeat
from client.api.boards import list_boards_api_v1_boards_get as list_boards
from client.api.tags import create_tag_api_v1_tags_post as create_tag
from client.api.tags import delete_tag_api_v1_tags_tag_id_delete as delete_tag
from client.api.tags import update_tag_api_v1_tags_tag_id_patch as update_tag
from client.api.boards import get_board_api_v1_boards_board_id_get as get_board
from client.api.organizations import (
    update_member_access_api_v1_organizations_me_members_member_id_access_put as update_access,
)
from client.models import (
    LLMErrorResponse, OrganizationMemberAccessUpdate, TagCreate, TagUpdate
)

url, token, member_id, agent_token, agent_id = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=token, raise_on_unexpected_status=True)
boards = list_boards.sync(client=client).items
assert get_board.sync(boards[0].id, client=client).name == boards[0].name
page = list_boards.sync(client=client, limit=1, offset=1)
assert (page.total, page.limit, page.offset) == (len(boards), 1, 1), page
assert [board.id for board in page.items] == [boards[1].id]

missing = get_board.sync_detailed(UUID(int=0), client=client)
assert missing.status_code == 404 and isinstance(missing.parsed, LLMErrorResponse), missing
assert missing.parsed.code == "board_not_found", missing
assert missing.parsed.detail == "There is no such board.", missing
assert missing.parsed.request_id == missing.headers["X-Request-Id"], missing

tag = create_tag.sync(client=client, body=TagCreate(name="Docs"))
changed = update_tag.sync(tag.id, client=client, body=TagUpdate(color="3b82f6"))
assert (changed.name, changed.color) == ("Docs", "3b82f6")
assert delete_tag.sync(tag.id, client=client).ok is True
body = OrganizationMemberAccessUpdate(all_boards_read=True)
assert update_access.sync(member_id, client=client, body=body).all_boards_read is True

header = {"prefix": "", "auth_header_name": "X-Agent-Token"}
agent = AuthenticatedClient(base_url=url, token=agent_token, **header)
assert str(agent_heartbeat.sync(client=agent).id) == agent_id
"""

TYPESCRIPT = """
import createClient from "openapi-fetch";
import type { components, paths } from "./api";

declare const process: { argv: string[] };
const [url, token, memberId, agentToken, agentId] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${token}` };
const client = createClient<paths>({ baseUrl: url, headers });

function check(isTrue: boolean, error: unknown) {
  if (!isTrue) throw new Error(JSON.stringify(error));
}

const boards = await client.GET("/api/v1/boards");
check(boards.data!.items.length > 1, boards.error);
const query = { limit: 1, offset: 1 };
const page = (await client.GET("/api/v1/boards", { params: { query } })).data!;
check(page.total === boards.data!.total && page.limit === 1 && page.offset === 1, page);
check(page.items.length === 1 && page.items[0].id === boards.data!.items[1].id, page);

const missing = await client.GET("/api/v1/boards/{board_id}", {
  params: { path: { board_id: "00000000-0000-0000-0000-000000000000" } },
});
const error: components["schemas"]["LLMErrorResponse" | "HTTPValidationError"] = missing.error!;
check(missing.response.status === 404 && missing.data === undefined, missing);
check(error.code === "board_not_found" && error.detail === "There is no such board.", error);
check(error.request_id === missing.response.headers.get("X-Request-Id"), error);

const made = await client.POST("/api/v1/tags", { body: { name: "Docs" } });
const tag: components["schemas"]["TagRead"] = made.data!;
const path = { tag_id: tag.id };
const body: components["schemas"]["TagUpdate"] = { color: "3b82f6" };
const changed = await client.PATCH("/api/v1/tags/{tag_id}", { params: { path }, body });
check(changed.data!.color === "3b82f6", changed.error);
const deleted = await client.DELETE("/api/v1/tags/{tag_id}", { params: { path } });
check(deleted.data!.ok === true, deleted.error);
const member = await client.PUT("/api/v1/organizations/me/members/{member_id}/access", {
  params: { path: { member_id: memberId } },
  body: { all_boards_read: true, all_boards_write: false, board_access: [] },
});
check(member.data!.all_boards_read === true, member.error);

const agentHeaders = { "X-Agent-Token": agentToken };
const agent = createClient<paths>({ baseUrl: url, headers: agentHeaders });
const heartbeat = await agent.POST("/api/v1/agent/heartbeat");
check(heartbeat.data!.id === agentId, heartbeat.error);
"""


@pytest.fixture(scope="module")
def generators() -> Path:
    """The folder with the generators."""
    return install_client_generators()


@pytest.fixture
async def url(isolated_settings: Settings, isolated_world: World) -> AsyncIterator[str]:
    """The URL of a real server."""
    async with run_server(isolated_settings) as where:
        yield where


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with our document."""
    (tmp_path / "openapi.json").write_bytes(render_json(OPERATIONS, "/"))
    return tmp_path


@pytest.fixture
def arguments(url: str, isolated_world: World) -> tuple[str, ...]:
    """The arguments of both programs."""
    user = (token_secret(isolated_world.alice), str(isolated_world.bob_member.id))
    agent = (token_secret(isolated_world.worker), str(isolated_world.worker.id))
    return (url, *user, *agent)


async def run(folder: Path, *command: str | Path, programs: Path) -> str:
    """Run a program with others on its PATH, and return its output. It must succeed."""
    environment = {name: os.environ[name] for name in os.environ if name != "PYTHONPATH"}
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**environment, "PATH": f"{programs}:{os.environ['PATH']}"},
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_a_generated_python_client_works(
    generators: Path, folder: Path, arguments: tuple[str, ...]
) -> None:
    programs = generators / "venv" / "bin"
    target = ("--path", "openapi.json", "--output-path", "client", "--meta", "none")
    generator = programs / "openapi-python-client"
    output = await run(folder, generator, "generate", *target, programs=programs)
    assert re.findall(r"^(?:WARNING|ERROR) parsing (\S+ \S+)", output, re.M) == UNSUPPORTED, output
    python = programs / "python"
    await run(folder, python, "-m", "compileall", "-q", "client", programs=programs)
    (folder / "program.py").write_text(PYTHON)
    await run(folder, python, "program.py", *arguments, programs=programs)


async def test_a_generated_typescript_client_works(
    generators: Path, folder: Path, arguments: tuple[str, ...]
) -> None:
    (folder / "node_modules").symlink_to(generators / "node_modules")
    programs = folder / "node_modules" / ".bin"
    (folder / "package.json").write_text('{"type": "module", "private": true}')
    (folder / "program.ts").write_text(TYPESCRIPT)
    generate = (programs / "openapi-typescript", "openapi.json", "-o", "api.d.ts", OPTIONAL)
    await run(folder, *generate, programs=programs)
    options = ("--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution")
    compiled = (*options, "bundler", "--lib", "es2022,dom", "program.ts")
    await run(folder, programs / "tsc", *compiled, programs=programs)
    await run(folder, "node", "program.js", *arguments, programs=programs)
