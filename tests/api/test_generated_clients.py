"""Clients that are generated from our OpenAPI document compile, and make a call of each kind.

The generators are no dependencies: MC_CLIENT_GENERATORS names a folder with a virtual environment
`venv` that has openapi-python-client, and with `node_modules` that has openapi-typescript,
openapi-fetch and typescript (docs/decisions/generated-clients.md).
"""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.app import OPERATIONS
from api.openapi.document import render_json
from core.config.settings import Settings
from tests.support.live_server import run_server
from tests.support.people_rows import token_secret
from tests.support.world import World

FOLDER = Path(os.environ.get("MC_CLIENT_GENERATORS", ""))

pytestmark = pytest.mark.skipif(
    "MC_CLIENT_GENERATORS" not in os.environ, reason="needs generators of clients"
)

OPTIONAL = "--default-non-nullable=false"  # a field with a default may be omitted
PYTHON = """
import sys
from client import AuthenticatedClient
from client.api.boards import list_boards_api_v1_boards_get as list_boards
from client.api.tags import create_tag_api_v1_tags_post as create_tag
from client.api.tags import delete_tag_api_v1_tags_tag_id_delete as delete_tag
from client.api.tags import update_tag_api_v1_tags_tag_id_patch as update_tag
from client.api.boards import get_board_api_v1_boards_board_id_get as get_board
from client.api.organizations import (
    update_member_access_api_v1_organizations_me_members_member_id_access_put as update_access,
)
from client.models import OrganizationMemberAccessUpdate, TagCreate, TagUpdate

url, token, member_id = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=token, raise_on_unexpected_status=True)
[board, *_] = list_boards.sync(client=client).items
assert get_board.sync(board.id, client=client).name == board.name
tag = create_tag.sync(client=client, body=TagCreate(name="Docs"))
changed = update_tag.sync(tag.id, client=client, body=TagUpdate(color="3b82f6"))
assert (changed.name, changed.color) == ("Docs", "3b82f6")
assert delete_tag.sync(tag.id, client=client).ok is True
body = OrganizationMemberAccessUpdate(all_boards_read=True)
assert update_access.sync(member_id, client=client, body=body).all_boards_read is True
"""

TYPESCRIPT = """
import createClient from "openapi-fetch";
import type { components, paths } from "./api";

declare const process: { argv: string[] };
const [url, token, memberId] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${token}` };
const client = createClient<paths>({ baseUrl: url, headers });

function check(isTrue: boolean, error: unknown) {
  if (!isTrue) throw new Error(JSON.stringify(error));
}

const boards = await client.GET("/api/v1/boards");
check(boards.data!.items.length > 0, boards.error);
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
"""


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


async def run(folder: Path, *command: str | Path) -> None:
    """Run a program, and fail with its output unless it succeeds."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PATH": f"{FOLDER / 'venv' / 'bin'}:{os.environ['PATH']}"},
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


async def test_a_generated_python_client_works(
    url: str, folder: Path, isolated_world: World
) -> None:
    programs = FOLDER / "venv" / "bin"
    target = ("--path", "openapi.json", "--output-path", "client", "--meta", "none")
    await run(folder, programs / "openapi-python-client", "generate", *target)
    await run(folder, programs / "python", "-m", "compileall", "-q", "client")
    (folder / "program.py").write_text(PYTHON)
    member_id = str(isolated_world.bob_member.id)
    arguments = (url, token_secret(isolated_world.alice), member_id)
    await run(folder, programs / "python", "program.py", *arguments)


async def test_a_generated_typescript_client_works(
    url: str, folder: Path, isolated_world: World
) -> None:
    (folder / "node_modules").symlink_to(FOLDER / "node_modules")
    programs = folder / "node_modules" / ".bin"
    (folder / "package.json").write_text('{"type": "module", "private": true}')
    (folder / "program.ts").write_text(TYPESCRIPT)
    await run(folder, programs / "openapi-typescript", "openapi.json", "-o", "api.d.ts", OPTIONAL)
    options = ("--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution")
    await run(folder, programs / "tsc", *options, "bundler", "--lib", "es2022,dom", "program.ts")
    member_id = str(isolated_world.bob_member.id)
    arguments = (url, token_secret(isolated_world.alice), member_id)
    await run(folder, "node", "program.js", *arguments)
