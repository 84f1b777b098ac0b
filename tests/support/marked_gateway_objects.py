"""What agents on gateways have, with the marker in its texts: requests, runs, skills and souls."""

import json
from typing import Any

from core.clock import now
from models import (
    AgentFileVersion,
    ConfigChangeKind,
    FileAuthor,
    Gateway,
    GatewayConfigChange,
    MessageState,
    RequestKind,
    RequestState,
    RunStatus,
    Soul,
    SoulDirectory,
    new_id,
)
from models.soul import LIBRARY
from services.souls.store import get_bundled_edition
from tests.support.board_rows import (
    make_message,
)
from tests.support.gateway_rows import make_gateway_request, make_run
from tests.support.marked_texts import MARK, QUESTIONS
from tests.support.skill_rows import (
    SKILL_ID,
    make_gateway_skill,
    make_pack,
    make_pack_update,
    make_skill,
    make_version,
)
from tests.support.world import World

SOUL_HANDLE, SOUL_SLUG = "mission-control", "marked"


def make_gateway_rows(world: World, gateway: Gateway) -> list[Any]:
    """Make requests, runs and messages of the agents of a gateway."""
    worker, texts = world.worker, {"exact": MARK, "cwd": MARK, "session_key": MARK}
    context = {
        **dict.fromkeys(("warning", "path", "host", "node", "plan"), MARK),
        "argv": [MARK],
        "environment": {MARK: MARK},
    }
    analysis: dict[str, Any] = {"commandCount": 1, "nestedCommandCount": 1}
    analysis |= {"riskKinds": [MARK], "warningLines": [MARK]}
    content: Any = {
        "request": {
            **dict.fromkeys(("warningText", "resolvedPath", "host", "cwd", MARK), MARK),
            **{name: [MARK] for name in ("argv", "envKeys")},
            "commandAnalysis": analysis,
            "scope": {"kind": "standing-grant", "automation": MARK, "command": MARK},
        },
        MARK: MARK,
    }
    answered = {
        "state": RequestState.ANSWERED,
        "answer": {"decision": "deny", "answers": {MARK: [MARK]}},
        "answered_by": MARK,
        "answered_at": now(),
        "error": MARK,
    }
    asked = {"kind": RequestKind.QUESTION, "exact": json.dumps(QUESTIONS)}
    call = {"id": "1", "name": MARK, "title": MARK, "started_at": "2026-01-01T00:00:00Z"}
    run: dict[str, Any] = {
        "phase": MARK,
        "tool": MARK,
        "tool_title": MARK,
        "tail": MARK,
        "error": MARK,
    }
    run["tool_calls"] = [call | {"detail": MARK, "status": "failed", "error": MARK}]
    failed = {"state": MessageState.FAILED, "last_error": MARK, "board_id": world.board.id}
    return [
        make_gateway_request(gateway, worker, context=context, **texts),
        make_gateway_request(gateway, worker, content=content, **texts),
        make_gateway_request(gateway, worker, context=context, **texts, **answered),
        make_gateway_request(gateway, worker, **asked),
        make_run(gateway, worker, **run),
        make_run(gateway, worker, **run, status=RunStatus.FAILED, ended_at=now()),
        AgentFileVersion(
            agent_id=worker.id,
            name="SOUL.md",
            content=f"{MARK}\n",
            digest="",
            author=FileAuthor.GATEWAY,
            created_at=now(),
        ),
        GatewayConfigChange(
            gateway_id=gateway.id,
            agent_key=MARK,
            agent_name=MARK,
            board_id=world.board.id,
            kind=ConfigChangeKind.REMOVED,
            diff=f"--- {MARK}\n@@ -1 +1 @@\n-{MARK}\n+{MARK}",
            created_at=now(),
        ),
        make_message(worker, f"BOARD CHAT\n{MARK}", kind=MARK, **failed),
    ]


def make_souls() -> list[Any]:
    """Make a soul in the place of the bundled library."""
    library = SoulDirectory(id=new_id(), address=LIBRARY, edition=get_bundled_edition())
    texts = {"title": MARK, "description": MARK, "content": f"# {MARK}\n\n[{MARK}]({MARK})"}
    names = {"handle": SOUL_HANDLE, "slug": SOUL_SLUG}
    return [library, Soul(id=new_id(), directory=library, **names, **texts)]


def make_skills(world: World, gateway: Gateway) -> list[Any]:
    """Make packs with an update, and skills with files, on a gateway and not."""
    changes = [{"name": MARK, "path": MARK, "id": None, "has_new_files": True}]
    fields = {"name": MARK, "description": MARK, "source_url": f"upload:{MARK}", "branch": MARK}
    more = {"extra": {MARK: MARK}, "revision": MARK, "archive_digest": MARK}
    pack = make_pack(world.tern, **fields, **more, warnings=[["link", MARK]])
    update = make_pack_update(
        pack, added=changes, changed=changes, removed=changes, warnings=[["link", MARK]]
    )
    update.archive_digest = update.revision = MARK
    texts = dict.fromkeys(("category", "risk", "source", "folder", "digest", "revision"), MARK)
    skill = make_skill(
        world.tern,
        pack,
        id=SKILL_ID,
        name=MARK,
        description=MARK,
        source_url=f"https://skills.example/{MARK}",
        extra={MARK: MARK},
        **texts,
    )
    version = make_version(
        skill, {MARK: MARK}, digest=MARK, revision=MARK, source_url=f"https://x.example/{MARK}"
    )
    row = make_gateway_skill(gateway, skill, digest=MARK, installed_digest=MARK)
    return [pack, update, skill, version, row]
