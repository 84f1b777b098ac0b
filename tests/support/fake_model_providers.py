"""The models of coding agents, scripted: the APIs of Anthropic, OpenAI and Google on one port.

A prompt has the script: `[[1 x echo a > b]]` calls the shell tool of the client once, and
`[[50 x cat %i]]` in one turn 50 times, with `%i` as the number of the call. The model answers
"Done." after the last one. Which turn it is follows from the results in the request. Scripts of
equal calls differ in spaces, because clients repeat a prompt.
"""

import json
import re
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

SCRIPT = re.compile(r"\[\[(\d+) x (.*?)\]\]", re.DOTALL)
SHELL_TOOLS = ("Bash", "exec_command", "run_shell_command", "bash")
END = "Done."
USAGE = {"input": 100, "output": 10}


@dataclass(frozen=True)
class OfferedTool:
    """A tool of the client, with its parameters."""

    name: str
    schema: dict[str, Any]

    def build_arguments(self, command: str) -> dict[str, Any]:
        """Return the arguments for a command, with a value for each that is required."""
        properties = self.schema.get("properties") or {}
        name = "cmd" if "cmd" in properties else "command"
        values = {"boolean": False, "integer": 60_000, "number": 60_000, "array": []}
        others = {
            one: values.get(properties.get(one, {}).get("type"), "Run it")
            for one in self.schema.get("required") or []
        }
        return {**others, name: command}


@dataclass(frozen=True)
class ShellCall:
    """A call of the client's shell tool."""

    tool: str
    arguments: dict[str, Any]
    id: str = field(default_factory=lambda: f"call_{uuid.uuid4().hex[:20]}")


@dataclass
class FakeModels:
    """The address of the models, and the last result of a tool in each request.

    `before_turn` is called before an answer to results, with their number.
    """

    url: str = ""
    results: list[str] = field(default_factory=list)
    before_turn: Callable[[int], object] = lambda _: None

    def answer(
        self, prompts: Iterable[Any], results: Sequence[Any], tools: Sequence[OfferedTool]
    ) -> list[ShellCall]:
        """Return the calls of this turn; none at the end, and where no shell is offered."""
        if results and tools:
            self.results.append(read_text(results[-1]))
            self.before_turn(len(results))
        shell = next((one for name in SHELL_TOOLS for one in tools if one.name == name), None)
        script = dict.fromkeys(SCRIPT.findall("\n".join(map(read_text, prompts))))
        done = 0
        for times, command in script if shell else ():
            if done == len(results):
                assert shell
                numbers = map(str, range(int(times)))
                commands = [command.strip().replace("%i", number) for number in numbers]
                return [ShellCall(shell.name, shell.build_arguments(one)) for one in commands]
            done += int(times)
        return []


def read_text(content: Any) -> str:
    """Return the text of a content in any of the formats."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(map(read_text, content))
    if isinstance(content, dict):
        names = ("text", "content", "parts", "output", "response")
        known = next((content[name] for name in names if content.get(name)), None)
        return json.dumps(content) if known is None else read_text(known)
    return ""


Body = dict[str, Any]
SentEvents = Iterator[tuple[str, Body]]


def answer_anthropic(models: FakeModels, body: Body) -> SentEvents:
    """Answer `POST /v1/messages`."""
    tools = [
        OfferedTool(one.get("name", ""), one.get("input_schema") or {})
        for one in body.get("tools") or []
    ]
    parts = [
        part
        for message in body["messages"]
        if isinstance(message["content"], list)
        for part in message["content"]
    ]
    results = [part for part in parts if part["type"] == "tool_result"]
    prompts = [one["content"] for one in body["messages"] if one["role"] == "user"]
    calls = models.answer(prompts, results, tools)
    usage = {"input_tokens": USAGE["input"], "output_tokens": USAGE["output"]}
    message = {"id": f"msg_{uuid.uuid4().hex}", "type": "message", "role": "assistant"}
    message = message | {"model": body["model"], "content": [], "stop_reason": None, "usage": usage}
    yield "message_start", {"message": message}
    blocks: list[tuple[Body, Body]] = [
        (
            {"type": "tool_use", "id": one.id, "name": one.tool, "input": {}},
            {"type": "input_json_delta", "partial_json": json.dumps(one.arguments)},
        )
        for one in calls
    ] or [({"type": "text", "text": ""}, {"type": "text_delta", "text": END})]
    for index, (block, delta) in enumerate(blocks):
        yield "content_block_start", {"index": index, "content_block": block}
        yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}
    stop = {"stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None}
    yield "message_delta", {"delta": stop, "usage": usage}
    yield "message_stop", {}


def answer_responses(models: FakeModels, body: Body) -> SentEvents:
    """Answer `POST /v1/responses` of OpenAI."""
    tools = [
        OfferedTool(one.get("name") or "", one.get("parameters") or {})
        for one in body.get("tools") or []
    ]
    items = body["input"]
    results = [one for one in items if one.get("type", "").endswith("_call_output")]
    prompts = [one.get("content") for one in items if one.get("role") == "user"]
    text = {"type": "output_text", "text": END, "annotations": []}
    output: list[Body] = [
        {
            "type": "function_call",
            "id": f"fc_{one.id}",
            "call_id": one.id,
            "name": one.tool,
            "arguments": json.dumps(one.arguments),
            "status": "completed",
        }
        for one in models.answer(prompts, results, tools)
    ] or [{"type": "message", "id": "msg_1", "role": "assistant", "content": [text]}]
    usage = {"input_tokens": USAGE["input"], "output_tokens": USAGE["output"], "total_tokens": 110}
    response = {"id": f"resp_{uuid.uuid4().hex}", "object": "response", "model": body["model"]}
    response |= {"output": output, "usage": usage, "status": "completed"}
    yield "response.created", {"response": {**response, "output": [], "status": "in_progress"}}
    for index, item in enumerate(output):
        yield "response.output_item.added", {"output_index": index, "item": item}
        if item["type"] == "message":
            place = {"item_id": item["id"], "output_index": index, "content_index": 0}
            yield "response.output_text.delta", {**place, "delta": END}
        yield "response.output_item.done", {"output_index": index, "item": item}
    yield "response.completed", {"response": response}


def answer_chat(models: FakeModels, body: Body) -> SentEvents:
    """Answer `POST /v1/chat/completions` of OpenAI, as a stream or as one object."""
    tools = [
        OfferedTool(one["function"]["name"], one["function"].get("parameters") or {})
        for one in body.get("tools") or []
        if one["type"] == "function"
    ]
    messages = body["messages"]
    results = [one for one in messages if one["role"] == "tool"]
    prompts = [one.get("content") for one in messages if one["role"] == "user"]
    calls = [
        {
            "index": index,
            "id": one.id,
            "type": "function",
            "function": {"name": one.tool, "arguments": json.dumps(one.arguments)},
        }
        for index, one in enumerate(models.answer(prompts, results, tools))
    ]
    delta: Body = {"role": "assistant", "content": None, "tool_calls": calls}
    message = delta if calls else {"role": "assistant", "content": END}
    finish = "tool_calls" if calls else "stop"
    usage = {"prompt_tokens": USAGE["input"], "completion_tokens": USAGE["output"]}
    base = {"id": "c-1", "object": "chat.completion.chunk", "created": 0, "model": body["model"]}
    for change, reason in ((message, None), ({}, finish)):
        yield "", {**base, "choices": [{"index": 0, "delta": change, "finish_reason": reason}]}
    yield "", {**base, "choices": [], "usage": {**usage, "total_tokens": 110}}


def answer_gemini(models: FakeModels, body: Body) -> SentEvents:
    """Answer `generateContent` of Google."""
    tools = [
        OfferedTool(one["name"], one.get("parametersJsonSchema") or one.get("parameters") or {})
        for group in body.get("tools") or []
        for one in group.get("functionDeclarations") or []
    ]
    contents = body["contents"]
    parts = [part for one in contents for part in one.get("parts") or []]
    results = [part["functionResponse"] for part in parts if "functionResponse" in part]
    prompts = [one.get("parts") for one in contents if one.get("role") == "user"]
    wants_json = (body.get("generationConfig") or {}).get("responseMimeType") == "application/json"
    routing = {"reasoning": "x", "model_choice": "flash", "next_speaker": "user"}
    text = json.dumps({**routing, "complexity_reasoning": "x", "complexity_score": 1})
    answer: list[Body] = [
        {"functionCall": {"id": one.id, "name": one.tool, "args": one.arguments}}
        for one in models.answer(prompts, results, tools)
    ] or [{"text": text if wants_json else END}]
    content = {"role": "model", "parts": answer}
    counts = {"promptTokenCount": USAGE["input"], "candidatesTokenCount": USAGE["output"]}
    yield (
        "",
        {
            "candidates": [{"index": 0, "finishReason": "STOP", "content": content}],
            "usageMetadata": {**counts, "totalTokenCount": 110},
            "modelVersion": "gemini-fake-1",
        },
    )


def join_chat(events: Sequence[tuple[str, Body]]) -> Body:
    """Return a chat completion as one object."""
    (_, first), (_, second), (_, last) = events
    choice = first["choices"][0]
    whole = {
        **choice,
        "message": choice["delta"],
        **{"finish_reason": second["choices"][0]["finish_reason"]},
    }
    return {**last, "object": "chat.completion", "choices": [whole]}


class ModelHandler(BaseHTTPRequestHandler):
    """Answers one request of a client."""

    models: FakeModels

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing."""

    def do_HEAD(self) -> None:
        self.send({})

    def do_GET(self) -> None:
        self.send({"object": "list", "data": [], "models": []})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        path = self.path.partition("?")[0]
        if path.endswith("/count_tokens"):
            self.send({"input_tokens": 100})
        elif path.endswith("/messages"):
            self.send_events(answer_anthropic(self.models, body))
        elif path.endswith("/responses"):
            self.send_events(answer_responses(self.models, body))
        elif path.endswith("/chat/completions"):
            events = list(answer_chat(self.models, body))
            if body.get("stream"):
                self.send_events([*events, ("", {})])
            else:
                self.send(join_chat(events))
        elif path.endswith(":streamGenerateContent"):
            self.send_events(answer_gemini(self.models, body))
        elif path.endswith(":generateContent"):
            [(_, answer)] = answer_gemini(self.models, body)
            self.send(answer)
        else:
            self.send({"totalTokens": 100}, 200 if ":countTokens" in path else 404)

    def send(self, value: Body, status: int = 200) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_events(self, events: Iterable[tuple[str, Body]]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for name, data in events:
            data = {"type": name, **data} if name else data
            text = json.dumps(data) if data else "[DONE]"
            self.wfile.write((f"event: {name}\n" if name else "").encode())
            self.wfile.write(f"data: {text}\n\n".encode())


@contextmanager
def run_fake_models() -> Generator[FakeModels]:
    """Run the models at a free port of this machine."""
    models = FakeModels()
    handler = type("Handler", (ModelHandler,), {"models": models})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        models.url = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        try:
            yield models
        finally:
            server.shutdown()
