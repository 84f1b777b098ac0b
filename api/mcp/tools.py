"""The tools of the MCP server, made of the operations of the API.

A tool is a use of an operation. Its arguments are path parameters and fields of query and body, so
types, limits and descriptions are those of the API, and a call runs the operation's handler.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from mcp_types import Tool, ToolAnnotations
from starlette.requests import Request
from starlette.responses import Response

from api.app import OPERATIONS
from api.framework.agent_operations import NEEDS_LEAD_TOKEN, NEEDS_OWN_BOARD
from api.framework.auth import READING_METHODS, may_only_read, require_write_scope
from api.framework.errors import InvalidFields
from api.framework.operation import Operation
from api.framework.request_parser import RequestBody
from api.mcp import news
from models import Actor, Agent, Status
from services import tasks

BOARD_ID = "board_id"  # of an agent's own board, so that agents need not give it
MAX_REPORTED = 20  # unknown arguments
KNOWN_NEEDS = {*NEEDS_OWN_BOARD, *NEEDS_LEAD_TOKEN}  # without them, there is no such tool
REQUEST_CONDITIONS = (b"if-", b"idempotency-")
"""The beginnings of headers about one request of the API, which a call of a tool is not."""


@dataclass(frozen=True)
class OperationTool:
    """A tool that runs an operation.

    `fields` are the only fields of query and body that the caller may give, and `values` the fields
    that it may not. `text` says what it does if that is not all that the operation does.
    """

    name: str
    operation: Operation
    text: str = ""
    fields: Collection[str] | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_reading(self) -> bool:
        """Whether it changes nothing."""
        return self.operation.method in READING_METHODS

    @property
    def knows_board(self) -> bool:
        """Whether it concerns the agent's own board."""
        return self.operation.path.startswith("/agent/") and BOARD_ID in self.operation.parser.path

    @cached_property
    def definition(self) -> Tool:
        """What clients and models see."""
        hints = self.operation.hints
        needs = [one for one in hints.get("x-prerequisites", ()) if one not in KNOWN_NEEDS]
        sentences = [
            self.operation.summary,
            *hints.get("x-routing-policy", ()),
            *hints.get("x-negative-guidance", ()),
            *([f"Prerequisites: {'; '.join(needs)}"] if needs else []),
        ]
        if self.text:
            sentences = [self.text]
        return Tool(
            name=self.name,
            description=" ".join(f"{one.rstrip('.')}." for one in sentences),
            input_schema=self._build_schema(),
            annotations=ToolAnnotations(read_only_hint=True) if self.is_reading else None,
        )

    def _build_schema(self) -> dict[str, Any]:
        parser = self.operation.parser
        properties: dict[str, Any] = {}
        required = []
        for name, adapter in parser.path.items():
            if not (name == BOARD_ID and self.knows_board):
                properties[name] = _simplify(adapter.json_schema())
                required.append(name)
        for model in filter(None, (parser.query, parser.body)):
            schema = model.model_json_schema()
            for name, one in schema["properties"].items():
                if self._accepts(name):
                    properties[name] = _simplify(one, schema.get("$defs", {}))
                    if name in self.defaults:
                        properties[name]["default"] = self.defaults[name]
            required += filter(self._accepts, schema.get("required", ()))
        described = {"properties": properties, "required": required}
        filled = {name: value for name, value in described.items() if value}
        return {"type": "object", **filled, "additionalProperties": False}

    def _accepts(self, name: str) -> bool:
        return name not in self.values and (self.fields is None or name in self.fields)

    async def run(self, request: Request, actor: Actor, arguments: Mapping[str, Any]) -> Response:
        """Run the operation for the caller of `request`. Raises the errors of the API."""
        if not self.is_reading:
            require_write_scope(request)
        self._check_names(arguments)
        return await self.operation.respond(*self._build_call(request, actor, arguments))

    def _build_call(
        self, request: Request, actor: Actor, arguments: Mapping[str, Any]
    ) -> tuple[Request, Actor, RequestBody | None]:
        given = {**self.defaults, **arguments, **self.values}
        parser = self.operation.parser
        path = {name: given.get(name) for name in parser.path}
        if self.knows_board and isinstance(actor, Agent):
            path[BOARD_ID] = actor.board_id
        query = _select_fields(given, parser.query)
        body = RequestBody(_select_fields(given, parser.body)) if parser.body else None
        scope = {
            **request.scope,
            "method": self.operation.method,
            "path_params": path,
            "query_string": urlencode(_as_parameters(query)).encode(),
            "headers": [
                (name, value)
                for name, value in request.scope["headers"]
                if not name.startswith(REQUEST_CONDITIONS)
            ],
        }
        return Request(scope, request.receive), actor, body

    def _check_names(self, arguments: Mapping[str, Any]) -> None:
        """Check that all required arguments are there, and no unknown ones. Raises InvalidFields.

        The API ignores unknown fields; a model would believe that they had an effect.
        """
        schema = self.definition.input_schema
        unknown = islice(arguments.keys() - schema.get("properties", {}).keys(), MAX_REPORTED)
        missing = [one for one in schema.get("required", ()) if one not in arguments]
        problems = [("missing", one, "Field required") for one in missing]
        problems += [("extra_forbidden", one, "There is no such argument") for one in unknown]
        if problems:
            raise InvalidFields(
                [{"type": kind, "loc": [name], "msg": text} for kind, name, text in problems]
            )


def _select_fields(given: Mapping[str, Any], model: Any) -> dict[str, Any]:
    names = model.model_fields if model else ()
    return {name: given[name] for name in names if name in given}


def _as_parameters(query: Mapping[str, Any]) -> dict[str, str]:
    """Return the values as texts of a query, without those that are null."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in query.items()
        if value is not None
    }


def _simplify(schema: Any, definitions: Mapping[str, Any] | None = None) -> Any:
    """Return a schema without titles and examples, with definitions where they are used.

    A null that means the same as an absent argument is left out.
    """
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        referenced = dict((definitions or {})[schema["$ref"].rpartition("/")[2]])
        referenced.pop("description", None)  # of a class
        others = {key: value for key, value in schema.items() if key != "$ref"}
        return _simplify({**referenced, **others}, definitions)
    simple: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("title", "examples") or (key == "default" and value is None):
            continue
        if key == "anyOf":
            simple |= _simplify_union(schema, definitions)
        elif key in ("items", "additionalProperties"):
            simple[key] = _simplify(value, definitions)
        elif key == "properties":
            simple[key] = {name: _simplify(one, definitions) for name, one in value.items()}
        else:
            simple[key] = value
    return simple


def _simplify_union(
    schema: Mapping[str, Any], definitions: Mapping[str, Any] | None
) -> dict[str, Any]:
    alternatives = [_simplify(one, definitions) for one in schema["anyOf"]]
    others = [one for one in alternatives if one != {"type": "null"}]
    if len(others) != 1:
        return {"anyOf": alternatives}
    has_null = len(others) < len(alternatives) and schema.get("default", "") is not None
    if has_null and isinstance(others[0].get("type"), str) and "enum" not in others[0]:
        return {**others[0], "type": [others[0]["type"], "null"]}
    return {"anyOf": alternatives} if has_null else others[0]


_operations = {(one.method, one.path): one for one in OPERATIONS}

OWN_BOARD = "/agent/boards/{board_id}"
OWN_TASK = OWN_BOARD + "/tasks/{task_id}"
ANY_BOARD = "/boards/{board_id}"
NO_CREATOR = {"created_by_user_id": None}  # accepted and ignored
FEW = {"limit": 20}  # of a list, because a model reads all of it

UPDATE_TASK = _operations["PATCH", OWN_TASK]
LIST_TASKS = OperationTool("list_tasks", _operations["GET", OWN_BOARD + "/tasks"], defaults=FEW)
NEXT_TASK = OperationTool("next_task", news.NEXT_TASK)
WAIT = OperationTool("wait", news.WAIT)

_FOR_WORKERS_AND_LEADS = [
    OperationTool("get_task", _operations["GET", OWN_TASK]),
    OperationTool("list_comments", _operations["GET", OWN_TASK + "/comments"], defaults=FEW),
    OperationTool("comment", _operations["POST", OWN_TASK + "/comments"]),
    OperationTool(
        "request_approval",
        _operations["POST", OWN_BOARD + "/approvals"],
        fields=("action_type", "confidence", "task_id", "payload", "lead_reasoning"),
    ),
    WAIT,
    OperationTool(
        "read_board_notes",
        _operations["GET", OWN_BOARD + "/memory"],
        fields=("limit", "offset"),
        values={"is_chat": False},
        defaults=FEW,
    ),
    OperationTool(
        "write_board_note", _operations["POST", OWN_BOARD + "/memory"], fields=("content", "tags")
    ),
    OperationTool(
        "ask_person",
        _operations["POST", OWN_BOARD + "/gateway/main/ask-user"],
        fields=("content", "task_id"),
    ),
]

WORKER_TOOLS: Sequence[OperationTool] = [
    NEXT_TASK,
    *_FOR_WORKERS_AND_LEADS,
    OperationTool(
        "claim_task",
        UPDATE_TASK,
        "Claim a task and begin it. If another agent was faster, take another task.",
        fields=tasks.CLAIM_FIELDS,
        values={"status": Status.IN_PROGRESS},
    ),
    OperationTool("update_task", UPDATE_TASK, fields=tasks.WORKER_FIELDS),
    OperationTool(
        "finish_task",
        UPDATE_TASK,
        "Move a task to done, with a comment about the result. The board can require a review or"
        " an approval before that: the error says what to do.",
        fields=("comment", "run_id"),
        values={"status": Status.DONE},
    ),
]

LEAD_TOOLS: Sequence[OperationTool] = [
    LIST_TASKS,
    *_FOR_WORKERS_AND_LEADS,
    OperationTool("create_task", _operations["POST", OWN_BOARD + "/tasks"], values=NO_CREATOR),
    OperationTool("update_task", UPDATE_TASK, fields=tasks.LEAD_FIELDS),
    OperationTool(
        "finish_task",
        UPDATE_TASK,
        "Accept a task that is in review: it is done.",
        fields=(),
        values={"status": Status.DONE},
    ),
    OperationTool("list_agents", _operations["GET", "/agent/agents"], defaults=FEW),
    OperationTool("message_agent", _operations["POST", OWN_BOARD + "/agents/{agent_id}/nudge"]),
]

PEOPLE_TOOLS: Sequence[OperationTool] = [
    OperationTool("list_boards", _operations["GET", "/boards"], defaults=FEW),
    OperationTool("list_tasks", _operations["GET", ANY_BOARD + "/tasks"], defaults=FEW),
    OperationTool("get_task", _operations["GET", ANY_BOARD + "/tasks/{task_id}"]),
    OperationTool("list_approvals", _operations["GET", "/approvals"], defaults=FEW),
    OperationTool("create_task", _operations["POST", ANY_BOARD + "/tasks"], values=NO_CREATOR),
]
"""Without decisions: a model that reads what others write does not decide for a person."""


def list_tools(request: Request, actor: Actor) -> Sequence[OperationTool]:
    """Return the tools of the caller of a request; of a token that may only read, those that do."""
    if isinstance(actor, Agent):
        if actor.board_id is None:
            return [WAIT]
        return LEAD_TOOLS if actor.is_board_lead else WORKER_TOOLS
    if may_only_read(request):
        return [one for one in PEOPLE_TOOLS if one.is_reading]
    return PEOPLE_TOOLS
