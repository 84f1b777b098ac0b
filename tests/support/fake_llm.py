"""A fake LLM whose behavior a test defines, with OpenAI's chat completions protocol.

A real gateway calls it like any model, so its agents really execute the tool calls.
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
    r"(?:OpenClaw runtime context for the immediately preceding user message\.[^<]*)?"
    r"<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>.*?(?:<<<END_OPENCLAW_INTERNAL_CONTEXT>>>|\Z)",
    re.DOTALL,
)
"""What a gateway adds to the messages of a model, also as one of its own after tool results."""
RUNTIME = re.compile(r"^\s*Runtime: (?=.*\bagent=)(.*)$", re.MULTILINE)
SENDER = re.compile(r"\ASender \(untrusted metadata\):\n```json\n.*?\n```\s*", re.DOTALL)
"""What gateways before 2026.8 write above a message."""
STAMP = re.compile(r"\A\[\w{3} \d{4}-\d\d-\d\d \d\d:\d\d[^\]]*\]\s*")


@dataclass(frozen=True)
class LlmTurn:
    """The input of the model: the agent, the latest message, and the tool results."""

    agent: str
    system: str
    message: str
    results: tuple[str, ...]

    def find(self, pattern: str) -> str | None:
        """Return the first group of a pattern in the message or the system prompt."""
        for text in (self.message, self.system):
            if match := re.search(pattern, text):
                return match[1]
        return None


@dataclass(frozen=True)
class RunCommand:
    """Run a command in the agent's shell, then continue."""

    command: str


@dataclass(frozen=True)
class UseTool:
    """Call another tool, then continue."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class FailTurn:
    """Answer with an error, which ends the turn."""

    reason: str
    status: int = 400


LlmAction = str | RunCommand | UseTool | FailTurn
LlmBehavior = Callable[[LlmTurn], LlmAction]


def do_nothing(_turn: LlmTurn) -> LlmAction:
    """Return the answer without content."""
    return "NO_REPLY"


@dataclass
class FakeLlm:
    """The model of all agents of a gateway, and the calls that it received."""

    url: str = ""
    behavior: LlmBehavior = do_nothing
    turns: list[LlmTurn] = field(default_factory=list)

    async def complete(self, request: Request) -> Response:
        """Answer one call of the gateway."""
        body = await request.json()
        turn = _parse_turn(body.get("messages") or [])
        self.turns.append(turn)
        action = await run_in_threadpool(self.behavior, turn)
        if isinstance(action, FailTurn):
            return JSONResponse({"error": {"message": action.reason}}, action.status)
        if body.get("stream"):
            return StreamingResponse(
                _completion_chunks(action, len(self.turns)), media_type="text/event-stream"
            )
        return JSONResponse(_completion(action, len(self.turns)))


@contextmanager
def run_fake_llm() -> Generator[FakeLlm]:
    """Run a model at a free port of this machine."""
    model = FakeLlm()
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


def _parse_turn(messages: list[dict[str, Any]]) -> LlmTurn:
    system = "\n".join(_text(one) for one in messages if one["role"] in ("system", "developer"))
    last, latest, agent = -1, "", ""
    for place, one in enumerate(messages):
        if one["role"] == "user":
            user_text = _text(one)
            facts = RUNTIME.search(user_text)
            agent = _runtime_fact(facts[1], "agent") if facts else agent
            plain = RUNTIME.sub("", INTERNAL.sub("", user_text)).strip()
            plain = STAMP.sub("", SENDER.sub("", STAMP.sub("", plain))).strip()
            last, latest = (place, plain) if plain else (last, latest)
    facts = RUNTIME.search(system)
    agent = agent or (_runtime_fact(facts[1], "agent") if facts else "")
    results = [_text(one) for one in messages[last + 1 :] if one["role"] == "tool"]
    return LlmTurn(agent, system, latest, tuple(results))


def _runtime_fact(line: str, name: str) -> str:
    facts = dict(part.split("=", 1) for part in line.split(" | ") if "=" in part)
    return {key.strip(): value.strip() for key, value in facts.items()}.get(name, "")


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text") or "" for part in content if isinstance(part, dict))


def _tool_calls(action: str | RunCommand | UseTool, number: int) -> list[dict[str, Any]]:
    if isinstance(action, str):
        return []
    use = UseTool("exec", {"command": action.command}) if isinstance(action, RunCommand) else action
    function = {"name": use.name, "arguments": json.dumps(use.arguments)}
    return [{"id": f"call_{number}", "type": "function", "function": function}]


def _usage() -> dict[str, int]:
    return {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}


def _completion(action: str | RunCommand | UseTool, number: int) -> dict[str, Any]:
    calls = _tool_calls(action, number)
    text = action if isinstance(action, str) else None
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


def _completion_chunks(action: str | RunCommand | UseTool, number: int) -> Iterator[str]:
    base = {"id": f"c-{number}", "object": "chat.completion.chunk", "created": 0, "model": MODEL}
    calls = [{"index": 0, **call} for call in _tool_calls(action, number)]
    user_text = {"tool_calls": calls} if calls else {"content": action}
    finish = "tool_calls" if calls else "stop"
    deltas = [({"role": "assistant"}, None), (user_text, None), ({}, finish)]
    for delta, reason in deltas:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        yield f"data: {json.dumps({**base, 'choices': [choice]})}\n\n"
    yield f"data: {json.dumps({**base, 'choices': [], 'usage': _usage()})}\n\n"
    yield "data: [DONE]\n\n"
