"""The content of a gateway request as its page shows it: everything that the gateway sends.

What a person needs to decide is in words, what is not known is shown by the gateway's names, and
`text` has everything. Hostile content is bounded: what is cut has to be opened before it is
allowed.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from models import GatewayRequest, RequestKind
from services.gateways import requests
from web.approvals.payload import BRIEF, COMPLETE, CUT_VALUES, DisplayLimits
from web.ui.locale_format import format_number
from web.ui.text_display import format_value
from web.ui.translation import N_, _, ngettext, translate

T = TypeVar("T", str, dict[str, Any], list[Any])
R = TypeVar("R")

MAX_TEXT_LENGTH = 50_000  # characters of `text`, unless everything was opened
MASK_SIGNS = ("…", "***")  # with which gateways replace secrets
OUR_MASK = "_***"  # with which we replace our tokens

FACT_LABELS = {
    "cwd": N_("Directory"),
    "resolvedPath": N_("Program"),
    "host": N_("Host"),
    "nodeId": N_("Node"),
    "commandPreview": N_("Short form"),
    "systemRunBinding": N_("What the node runs"),
    "systemRunPlan": N_("Plan of the run"),
    "security": N_("Security setting"),
    "ask": N_("Ask setting"),
    "turnSourceChannel": N_("Channel"),
    "turnSourceTo": N_("Sent to"),
}
"""The labels of what is shown of a command, by the gateway's keys."""

ARGUMENT_LABELS = {"argv": N_("Arguments"), "commandArgv": N_("Arguments of the command")}

ONLY_IN_TEXT = requests.ORIGIN_KEYS - FACT_LABELS.keys() | {
    "commandSpans",
    "cronExecutionSource",
    "cronOperationBinding",
}
"""What is shown only in `text`: where a request is from, positions in the command, and hashes."""

GRANT_KEYS = {"kind", "automation", "command", "expiresInDays"}
ANALYSIS_KEYS = {"commandCount", "nestedCommandCount", "riskKinds", "warningLines"}

RISK_TEXTS = {
    "inline-eval": N_("It runs code that is written in the command itself."),
    "eval": N_("It builds a command while it runs, and executes it."),
    "shell-wrapper": N_("It starts another shell, which runs further commands."),
    "shell-wrapper-through-carrier": N_("It starts another shell through another program."),
    "command-carrier": N_("It starts a program that starts another one."),
    "dynamic-argument": N_("An argument is only known when it runs."),
    "dynamic-executable": N_("Which program it starts is only known when it runs."),
    "command-substitution": N_("The output of a command becomes a part of the command."),
    "process-substitution": N_("The output of a command is passed as a file."),
    "source": N_("It runs a file in the same shell."),
    "function-definition": N_("It defines a function of the shell."),
    "alias": N_("It gives a command another name."),
    "heredoc": N_("It passes several lines of text to a program."),
    "here-string": N_("It passes a text to a program."),
    "pipe": N_("The output of a command is the input of the next."),
    "stderr-pipe": N_("The output and the errors of a command are the input of the next."),
    "redirect": N_("It reads from or writes to a file."),
    "sequence": N_("It runs several commands."),
    "newline-sequence": N_("It runs several commands, on several lines."),
    "and": N_("A command runs only if the one before it succeeds."),
    "or": N_("A command runs only if the one before it fails."),
    "background": N_("A command continues in the background."),
    "line-continuation": N_("The command continues on another line."),
    "syntax-error": N_("The gateway could not analyze all of the command."),
}
"""What the kinds of risk mean that gateways report."""


@dataclass(frozen=True)
class CommandGrantScope:
    """What a standing grant would allow: a command of an automation, for some days or always."""

    automation: str
    command: str
    days: int | None = None


@dataclass(frozen=True)
class CommandAnalysis:
    """What a gateway has found in a command: sentences, and its own words."""

    commands: int
    nested_commands: int
    risks: Sequence[str]
    warnings: Sequence[str]


@dataclass(frozen=True)
class RequestContent:
    """The content of a gateway request.

    Unless it `is_complete`, long content is cut, and `notes` say so. `others` are values that this
    version does not know, by the gateway's names. `text` is everything as JSON.
    """

    warning: str
    grant: CommandGrantScope | None
    analysis: CommandAnalysis | None
    facts: Sequence[tuple[str, str]]
    arguments: Sequence[tuple[str, Sequence[str]]]  # by their labels
    variables: Sequence[str]
    has_hashed_values: bool  # whether the gateway sends a hash of the values of the variables
    others: Sequence[tuple[str, str]]
    text: str
    notes: Sequence[str]
    may_hide_secrets: bool  # whether the gateway may have masked a part of the command
    is_complete: bool

    @property
    def must_be_opened(self) -> bool:
        """Return whether the complete content has to be opened before it is allowed."""
        return bool(self.notes) and not self.is_complete


def build_request_content(request: GatewayRequest, *, complete: bool = False) -> RequestContent:
    """Prepare the content of a gateway request for its page."""
    content = request.content or {"request": _describe_earlier_request(request)}
    reader = _ContentReader(content["request"], COMPLETE if complete else BRIEF)
    reader.drop(ONLY_IN_TEXT if request.content else ())
    if request.kind is not RequestKind.EXEC:
        reader.drop((request.plugin_action or {}).keys())
    reader.drop({"command"} if request.command else ())
    warning, grant, analysis = reader.take_warning(), reader.take_grant(), reader.take_analysis()
    arguments = [
        (translate(label), texts)
        for key, label in ARGUMENT_LABELS.items()
        if (texts := reader.take_texts(key))
    ]
    variables, facts = reader.take_texts("envKeys"), reader.take_facts()
    others = reader.take_rest(
        {name: value for name, value in content.items() if name not in requests.ROW_KEYS}
    )
    text = json.dumps(content, indent=2, ensure_ascii=False) if request.content else ""
    return RequestContent(
        warning=warning,
        grant=grant,
        analysis=analysis,
        facts=facts,
        arguments=arguments,
        variables=variables,
        has_hashed_values=_has_hashed_values(content["request"]),
        others=others,
        text=text if complete else reader.cut(text, MAX_TEXT_LENGTH),
        notes=reader.describe_rest(),
        may_hide_secrets=any(
            sign in (request.command or "").replace(OUR_MASK, "") for sign in MASK_SIGNS
        ),
        is_complete=complete,
    )


def _describe_earlier_request(request: GatewayRequest) -> dict[str, Any]:
    """Return what is stored of a request of an earlier version, with the gateway's keys."""
    names = requests.CONTEXT_KEYS
    context = {names.get(name, name): value for name, value in (request.context or {}).items()}
    return context | ({"cwd": request.cwd} if request.cwd else {})


def _has_hashed_values(request: Mapping[str, Any]) -> bool:
    """Return whether a request has the hash of the values of its variables."""
    binding = request.get("systemRunBinding")
    is_bound = isinstance(binding, dict) and bool(binding.get("envHash"))
    return is_bound or request.get("cronOperationBinding") is not None


class _ContentReader:
    """Takes known values out of a request, as far as the limits allow, and counts the rest."""

    def __init__(self, request: Mapping[str, Any], limits: DisplayLimits) -> None:
        self._values = dict(request)
        self._limits = limits
        self._rows = self._cut_texts = 0

    def drop(self, names: Iterable[str]) -> None:
        """Leave out values that the page shows elsewhere."""
        for name in names:
            self._values.pop(name, None)

    def take_warning(self) -> str:
        """Return the warning; "" without one."""
        return self.cut(self._take("warningText", str) or "")

    def take_grant(self) -> CommandGrantScope | None:
        """Return the standing grant that the request is for."""
        scope = self._values.get("scope")
        if not isinstance(scope, dict) or scope.get("kind") != "standing-grant":
            return None
        texts = [scope.get(name) for name in ("automation", "command")]
        days = scope.get("expiresInDays")
        if not _are_texts(texts) or not (days is None or type(days) is int):
            return None
        self._leave_unknown("scope", scope, GRANT_KEYS)
        automation, command = (self.cut(str(text)) for text in texts)
        return CommandGrantScope(automation, command, days)

    def take_analysis(self) -> CommandAnalysis | None:
        """Return the analysis of the command."""
        found = self._values.get("commandAnalysis")
        if not isinstance(found, dict) or not found.keys() >= ANALYSIS_KEYS:
            return None
        counts = [found["commandCount"], found["nestedCommandCount"]]
        lists = [found["riskKinds"], found["warningLines"]]
        if not all(type(count) is int for count in counts) or not all(map(_are_texts, lists)):
            return None
        self._leave_unknown("commandAnalysis", found, ANALYSIS_KEYS)
        kinds, warnings = (self._cut_list(texts) for texts in lists)
        risks = [translate(RISK_TEXTS[kind]) if kind in RISK_TEXTS else kind for kind in kinds]
        return CommandAnalysis(*counts, risks, warnings)

    def take_texts(self, name: str) -> list[str]:
        """Return a list of texts; empty if there is none."""
        return self._cut_list(self._take(name, list) or [])

    def take_facts(self) -> list[tuple[str, str]]:
        """Return the labels and values of what is known of a command."""
        facts: list[tuple[str, str]] = []
        for name, label in FACT_LABELS.items():
            value = self._take(name, str) or self._take(name, dict)
            if value:
                facts.append((translate(label), self.cut(format_value(value))))
        return facts

    def take_rest(self, more: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return the names and values of everything that was not taken before."""
        known_nulls = (*FACT_LABELS, *ARGUMENT_LABELS, "warningText", "scope", "commandAnalysis")
        self.drop([name for name in known_nulls if self._values.get(name) is None])
        rest = [*self._values.items(), *more.items()]
        return [
            (self.cut(name), self.cut(json.dumps(value, ensure_ascii=False)))
            for name, value in self._limit_rows(rest)
        ]

    def cut(self, text: str, length: int | None = None) -> str:
        """Return the beginning of a text that is too long."""
        length = length or self._limits.text_length
        if len(text) <= length:
            return text
        self._cut_texts += 1
        return f"{text[:length]}…"

    def describe_rest(self) -> list[str]:
        """Return notes about what was left out."""
        notes: list[str] = []
        if self._rows > self._limits.rows:
            limit, count = format_number(self._limits.rows), format_number(self._rows)
            notes.append(_(CUT_VALUES, limit=limit, count=count))
        if self._cut_texts:
            notes.append(
                ngettext(
                    "%(num)d long text is not shown completely.",
                    "%(num)d long texts are not shown completely.",
                    self._cut_texts,
                )
            )
        return notes

    def _take(self, name: str, kind: type[T]) -> T | None:
        """Take a value of this type; a list must consist of texts."""
        value = self._values.get(name)
        if not isinstance(value, kind) or (isinstance(value, list) and not _are_texts(value)):
            return None
        del self._values[name]
        return value

    def _leave_unknown(self, name: str, value: Mapping[str, Any], known: Collection[str]) -> None:
        """Replace a value by what is not known of it."""
        del self._values[name]
        if rest := {key: part for key, part in value.items() if key not in known}:
            self._values[name] = rest

    def _cut_list(self, texts: Sequence[str]) -> list[str]:
        return [self.cut(text) for text in self._limit_rows(texts)]

    def _limit_rows(self, rows: Sequence[R]) -> Sequence[R]:
        room = max(0, self._limits.rows - self._rows)
        self._rows += len(rows)
        return rows[:room]


def _are_texts(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)
