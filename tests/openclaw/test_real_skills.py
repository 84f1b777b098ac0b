"""Skills of a pack on a real gateway, from the archive to the removal: `./run test --gateway`.

The archive is downloaded over TLS, and the scripted agent does what the message asks.
"""

import functools
import os
import re
import shlex
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_llm import FakeLlm, LlmAction, LlmTurn, RunCommand
from tests.support.gateway_installation import (
    TOKEN,
    GatewayInstallation,
    run_gateway_installation,
)
from tests.support.real_gateway import RealGateway
from tests.support.skill_archives import FILES, make_tar
from tests.support.tls_certificates import create_tls_context

pytestmark = pytest.mark.skipif(
    not os.environ.get("MC_TEST_GATEWAY"), reason="needs a real gateway: --gateway"
)

INSTALL, REMOVE = "MISSION CONTROL SKILL INSTALL", "MISSION CONTROL SKILL UNINSTALL"
DIGEST = (
    r"find . -type f | sed 's|^./||' | LC_ALL=C sort | tr '\n' '\0' | xargs -0 sha256sum -- "
    "| sha256sum | cut -d ' ' -f 1"
)
WRITE_FILES = """
import json, pathlib, subprocess, sys, urllib.request
url, token, folder, digest, command = sys.argv[1:]
request = urllib.request.Request(url, headers={"X-Agent-Token": token})
for file in json.load(urllib.request.urlopen(request))["files"]:
    path = pathlib.Path(folder, file["path"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(file["content"])
found = subprocess.check_output(command, shell=True, cwd=folder, text=True).strip()
print("verified" if found == digest else f"{found} is not {digest}")
"""
"""What an agent does to get the files, and to verify them with the command of the message."""


def find_value(turn: LlmTurn, name: str) -> str:
    found = re.search(rf"^{name}: (.+)$", turn.message, re.MULTILINE)
    assert found, f"the message has no {name}"
    return found[1]


def follow_request(site: GatewayInstallation, turn: LlmTurn) -> LlmAction:
    """Do what a request about a skill asks, and otherwise what all agents do."""
    if turn.results or not turn.message.startswith((INSTALL, REMOVE)):
        return site.behavior.respond(turn)
    folder = f"{find_value(turn, 'Destination')}/{find_value(turn, 'Folder')}"
    if turn.message.startswith(REMOVE):
        return RunCommand(shlex.join(["rm", "-r", folder]))
    token, url = turn.find(TOKEN), find_value(turn, "Files").removeprefix("GET ")
    arguments = [url, str(token), folder, find_value(turn, "Digest"), DIGEST]
    return RunCommand(shlex.join([sys.executable, "-c", WRITE_FILES, *arguments]))


@dataclass(frozen=True)
class ArchiveServer:
    """The address of an archive on a TLS server, and the certificate to trust."""

    url: str
    certificate: Path


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArchiveServer]:
    folder = tmp_path_factory.mktemp("archives")
    (folder / "skills.tar.gz").write_bytes(make_tar(FILES))
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        tls = create_tls_context(folder)
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{server.server_port}/skills.tar.gz"
        yield ArchiveServer(url, folder / "server.pem")
        server.shutdown()
        thread.join(10)


@pytest.fixture(scope="module")
def site(
    real_gateway: RealGateway,
    model: FakeLlm,
    archive: ArchiveServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[GatewayInstallation]:
    trusted = {"SSL_CERT_FILE": str(archive.certificate), "OUTBOUND_ALLOW_PRIVATE": "127.0.0.0/8"}
    folder = tmp_path_factory.mktemp("skills")
    with run_gateway_installation(real_gateway, model, folder, **trusted) as site:
        model.behavior = functools.partial(follow_request, site)
        load_skills_from(site, site.workspaces / "skills")
        yield site


def load_skills_from(site: GatewayInstallation, folder: Path) -> None:
    """Let the gateway load skills from a folder, as docs/skills.md describes."""
    site.change_config({"skills": {"load": {"extraDirs": [str(folder)]}}})


def find_listed(site: GatewayInstallation, name: str) -> list[str]:
    """Return the folders of the skills of this name that the gateway lists."""
    params = {"agentId": f"mc-gateway-{site.gateway_id}"}
    listed = site.call_gateway("skills.status", params)["skills"]
    return [skill["baseDir"] for skill in listed if skill["name"] == name]


def wait_for_state(site: GatewayInstallation, name: str, state: str | None) -> dict[str, Any]:
    path = f"/skills/marketplace?gateway_id={site.gateway_id}"

    def find(cards: list[dict[str, Any]]) -> Any:
        return next(card for card in cards if card["name"] == name)

    return find(site.wait_for(path, lambda cards: find(cards)["state"] == state, within=180))


def test_a_skill_is_installed_by_the_agent_of_the_gateway_and_removed(
    site: GatewayInstallation, archive: ArchiveServer
) -> None:
    [main] = site.api.call("GET", f"/agents?gateway_id={site.gateway_id}")["items"]
    site.wait_for_agent(main["id"])
    pack = site.api.call("POST", "/skills/packs", source_url=archive.url)
    assert site.api.call("POST", f"/skills/packs/{pack['id']}/sync")["created"] == 2
    card = wait_for_state(site, "Report writer", None)
    query = f"gateway_id={site.gateway_id}"
    site.api.call("POST", f"/skills/marketplace/{card['id']}/install?{query}")
    installed = wait_for_state(site, "Report writer", "installed")
    assert installed["installed_digest"] == card["digest"]
    [folder] = find_listed(site, "Report writer")
    files = {path.name: path.read_text() for path in Path(folder).iterdir()}
    assert files == {"SKILL.md": FILES["writer/SKILL.md"], "style.md": FILES["writer/style.md"]}
    assert any("verified" in result for turn in site.llm.turns for result in turn.results)
    site.api.call("POST", f"/skills/marketplace/{card['id']}/uninstall?{query}")
    wait_for_state(site, "Report writer", None)
    assert find_listed(site, "Report writer") == []
    assert not Path(folder).exists()
