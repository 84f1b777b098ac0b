"""A model that thinks what a test tells it to: it speaks the protocol of OpenAI's completions.

A real gateway asks it, as it would ask any model, so its agents really run what it says.
"""

import json
import re
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

MODEL = "scripted-1"

INTERNAL = re.compile(
    r"<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>.*?(?:<<<END_OPENCLAW_INTERNAL_CONTEXT>>>|\Z)", re.DOTALL
)
RUNTIME = re.compile(r"^\s*Runtime: (?=.*\bagent=)(.*)$", re.MULTILINE)
STAMP = re.compile(r"\A\[\w{3} \d{4}-\d\d-\d\d \d\d:\d\d[^\]]*\]\s*")


@dataclass(frozen=True)
class Turn:
    """What an agent has before it thinks: who it is, what it was told, what its tools answered."""

    agent: str
    system: str
    told: str
    results: tuple[str, ...]

    def found(self, pattern: str) -> str | None:
        """Return the group that a pattern finds in what the agent was told, or knows."""
        for text in (self.told, self.system):
            if match := re.search(pattern, text):
                return match[1]
        return None


@dataclass(frozen=True)
class Run:
    """Run a command in the agent's shell, and think again."""

    command: str


@dataclass(frozen=True)
class Use:
    """Call another tool, and think again."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Refuse:
    """Answer with an error, after which the turn is over."""

    reason: str
    status: int = 400


Thought = str | Run | Use | Refuse
Mind = Callable[[Turn], Thought]


def silent(_turn: Turn) -> Thought:
    """Think nothing."""
    return "NO_REPLY"


@dataclass
class Model:
    """What thinks for all agents of a gateway, and what it was asked."""

    url: str = ""
    mind: Mind = silent
    turns: list[Turn] = field(default_factory=list)

    async def complete(self, request: Request) -> Response:
        """Answer one question of the gateway."""
        asked = await request.json()
        turn = _turn(asked.get("messages") or [])
        self.turns.append(turn)
        thought = await run_in_threadpool(self.mind, turn)
        if isinstance(thought, Refuse):
            return JSONResponse({"error": {"message": thought.reason}}, thought.status)
        if asked.get("stream"):
            return StreamingResponse(
                _streamed(thought, len(self.turns)), media_type="text/event-stream"
            )
        return JSONResponse(_whole(thought, len(self.turns)))


@contextmanager
def thinking() -> Generator[Model]:
    """Let a model listen at a free port of this machine."""
    model = Model()
    models = JSONResponse({"object": "list", "data": [{"id": MODEL, "object": "model"}]})
    app = Starlette(
        routes=[
            Route("/v1/models", models),
            Route("/v1/chat/completions", model.complete, methods=["POST"]),
        ]
    )
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    started = threading.Event()
    startup = server.startup

    async def announce(sockets: Any = None) -> None:
        await startup(sockets)
        started.set()

    server.startup = announce
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert started.wait(20)
    port = server.servers[0].sockets[0].getsockname()[1]
    model.url = f"http://127.0.0.1:{port}/v1"
    try:
        yield model
    finally:
        server.should_exit = True
        thread.join(10)


def _turn(messages: list[dict[str, Any]]) -> Turn:
    system = "\n".join(_text(one) for one in messages if one["role"] in ("system", "developer"))
    last, told, agent = -1, "", ""
    for place, one in enumerate(messages):
        if one["role"] == "user":
            said = _text(one)
            facts = RUNTIME.search(said)
            agent = _fact(facts[1], "agent") if facts else agent
            plain = STAMP.sub("", RUNTIME.sub("", INTERNAL.sub("", said)).strip()).strip()
            last, told = (place, plain) if plain else (last, told)
    facts = RUNTIME.search(system)
    agent = agent or (_fact(facts[1], "agent") if facts else "")
    results = [_text(one) for one in messages[last + 1 :] if one["role"] == "tool"]
    return Turn(agent, system, told, tuple(results))


def _fact(line: str, name: str) -> str:
    facts = dict(part.split("=", 1) for part in line.split(" | ") if "=" in part)
    return {key.strip(): value.strip() for key, value in facts.items()}.get(name, "")


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text") or "" for part in content if isinstance(part, dict))


def _calls(thought: str | Run | Use, number: int) -> list[dict[str, Any]]:
    if isinstance(thought, str):
        return []
    use = Use("exec", {"command": thought.command}) if isinstance(thought, Run) else thought
    function = {"name": use.name, "arguments": json.dumps(use.arguments)}
    return [{"id": f"call_{number}", "type": "function", "function": function}]


def _usage() -> dict[str, int]:
    return {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}


def _whole(thought: str | Run | Use, number: int) -> dict[str, Any]:
    calls = _calls(thought, number)
    text = thought if isinstance(thought, str) else None
    message = {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}
    finish = "tool_calls" if calls else "stop"
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {
        "id": f"c-{number}",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [choice],
        "usage": _usage(),
    }


def _streamed(thought: str | Run | Use, number: int) -> Iterator[str]:
    base = {"id": f"c-{number}", "object": "chat.completion.chunk", "created": 0, "model": MODEL}
    calls = [{"index": 0, **call} for call in _calls(thought, number)]
    said = {"tool_calls": calls} if calls else {"content": thought}
    finish = "tool_calls" if calls else "stop"
    deltas = [({"role": "assistant"}, None), (said, None), ({}, finish)]
    for delta, reason in deltas:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        yield f"data: {json.dumps({**base, 'choices': [choice]})}\n\n"
    yield f"data: {json.dumps({**base, 'choices': [], 'usage': _usage()})}\n\n"
    yield "data: [DONE]\n\n"
