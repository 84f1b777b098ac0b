"""The fields of the rules of approval policies, and their evaluation. Pure functions."""

import logging
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Annotated, Any, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import ConfigDict, Field

from core.clock import list_time_zone_names
from core.errors import Invalid
from core.fields import FieldKind, Fields, Label, ShortText, ShownName
from core.text import N_
from models import (
    Approval,
    CodingClient,
    PolicyEffect,
    PolicyRule,
    PolicyVerdict,
    RiskLevel,
    Role,
    ToolAction,
    WeeklyWindow,
    new_id,
)
from services import organizations
from services.approval_actions import build_confusable_skeleton, join_words, read_kind
from services.policies.tool_rules import (
    MAX_PATTERN_LENGTH,
    ToolMatcher,
    ToolVerdict,
    check_tool_conditions,
)
from services.tool_facts import ToolFacts

MAX_RULES = 50  # of one policy
MAX_VALUES = 50  # in one list of a rule
MAX_KIND_LENGTH = 200  # characters, as written and as compared

RISK_ORDER = list(RiskLevel)
RISK_KEYS = ("risk", "risk_level", "riskLevel")
RISK_FLAGS = ("risky", "external", "destructive", "irreversible")
NO_WORDS = {"", "false", "no", "0"}
MAX_RISK_LENGTH = 100  # characters; a longer text is neither a known risk nor a no

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RequestFacts:
    """What the conditions of rules are compared with."""

    kind: tuple[str, ...]  # its words
    skeleton: str  # its letters, with one for all that look alike
    agent_id: UUID | None
    risk: RiskLevel
    confidence: float
    tag_ids: frozenset[UUID]
    requested_at: datetime
    tool: ToolFacts | None = None  # of a tool call

    @cached_property
    def joined_kind(self) -> str:
        """The words of the kind without separators."""
        return "".join(self.kind)

    @cached_property
    def beginnings(self) -> frozenset[str]:
        """The letters of the first word of the kind, of the first two words, and so on."""
        return frozenset(accumulate(self.kind))


class RuleSet:
    """The enabled rules of policies, prepared for the evaluation of many requests."""

    def __init__(self, rules: Iterable[PolicyRule]) -> None:
        self._matchers = [_RuleMatcher(rule) for rule in rules if rule.is_enabled]
        enabled = [matcher.rule for matcher in self._matchers]
        self.tag_ids = frozenset(id for rule in enabled for id in rule.tag_ids)
        """The tags that the rules name."""
        self._agent_ids = frozenset(id for rule in enabled for id in rule.agent_ids)
        self._thresholds = sorted({rule.confidence_below or 0 for rule in enabled})
        self._has_windows = any(rule.time_window for rule in enabled)

    def evaluate(self, facts: RequestFacts) -> PolicyVerdict:
        """Return the verdict of the first rule that matches.

        A rule that cannot be evaluated counts as matching, but never allows anything.
        """
        found = self._find_match(facts)
        return found[1] if found else PolicyVerdict()

    def evaluate_tool_call(self, facts: RequestFacts) -> ToolVerdict:
        """Return the verdict about a tool call, with what holds in every policy.

        What is not understood, and what changes the configuration of a client, needs a person.
        Plain reads and our own tools are allowed if no rule matches.
        """
        tool = facts.tool
        assert tool is not None
        found = self._find_match(facts)
        verdict = found[1] if found else None
        is_allowed = verdict is not None and verdict.effect is PolicyEffect.ALLOW
        if verdict is not None and not is_allowed:
            return ToolVerdict(verdict, "rule")
        if ToolAction.WRITE_CLIENT_CONFIG in tool.actions:
            return ToolVerdict(_ask_one(verdict), "client_config")
        if not tool.is_understood:
            return ToolVerdict(_ask_one(verdict), "not_understood")
        if verdict is not None:
            return ToolVerdict(verdict, "rule")
        if tool.is_own_tool or tool.is_plain_read:
            allowed = PolicyVerdict(effect=PolicyEffect.ALLOW)
            return ToolVerdict(allowed, "own_tool" if tool.is_own_tool else "plain_read")
        return ToolVerdict(PolicyVerdict(), "no_rule")

    def find_rule(self, facts: RequestFacts) -> PolicyRule | None:
        """Return the first rule that matches, if any."""
        found = self._find_match(facts)
        return found[0] if found else None

    def _find_match(self, facts: RequestFacts) -> tuple[PolicyRule, PolicyVerdict] | None:
        """Return the first rule that matches with its verdict, if any."""
        for matcher in self._matchers:
            try:
                if matcher.matches(facts):
                    return matcher.rule, matcher.build_verdict(facts)
            except Exception:
                rule = matcher.rule
                log.exception("A rule of an approval policy could not be evaluated: %s", rule.id)
                verdict = _verdict(rule)
                is_allowed = verdict.effect is PolicyEffect.ALLOW
                return rule, _ask_one(verdict) if is_allowed else verdict
        return None

    def build_key(self, facts: RequestFacts) -> Hashable:
        """Return a key that is equal for requests that no rule can distinguish.

        Times are distinguished by the minute, in which windows begin and end.
        """
        return (
            facts.kind,
            facts.skeleton,
            facts.agent_id if facts.agent_id in self._agent_ids else None,
            facts.risk,
            bisect_right(self._thresholds, facts.confidence),
            facts.tag_ids & self.tag_ids,
            facts.requested_at.replace(second=0, microsecond=0) if self._has_windows else None,
            facts.tool,
        )


class _RuleMatcher:
    """The conditions of a rule. What they need is prepared when the first request needs it."""

    def __init__(self, rule: PolicyRule) -> None:
        self.rule = rule

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether all conditions of the rule hold; the cheap ones come first."""
        rule = self.rule
        return (
            (not rule.agent_ids or facts.agent_id in self._agent_ids)
            and (rule.risk_at_least is None or _rank(facts.risk) >= _rank(rule.risk_at_least))
            and (rule.risk_at_most is None or _rank(facts.risk) <= _rank(rule.risk_at_most))
            and (rule.confidence_below is None or facts.confidence < rule.confidence_below)
            and (not rule.tag_ids or not facts.tag_ids.isdisjoint(rule.tag_ids))
            and (not rule.kinds or self._kinds.match(facts))
            and (rule.time_window is None or _contains(rule.time_window, facts.requested_at))
            and self._matches_tool(facts.tool)
        )

    def build_verdict(self, facts: RequestFacts) -> PolicyVerdict:
        """Return the verdict about a request that matches.

        A kind with letters outside ASCII can look like another kind, for which there are other
        rules. It is allowed only by a rule that names it; otherwise one person is asked.
        """
        verdict = _verdict(self.rule)
        is_allowed = verdict.effect is PolicyEffect.ALLOW
        if is_allowed and not facts.joined_kind.isascii() and not self._foreign_kinds.match(facts):
            return replace(verdict, effect=PolicyEffect.ASK_ONE)
        return verdict

    def _matches_tool(self, tool: ToolFacts | None) -> bool:
        """Return whether the conditions about tool calls hold.

        A rule that asks about everything does not ask about plain reads, and a rule that restricts
        everything does not restrict our own tools: it must name them.
        """
        matcher = self._tools
        if tool is None:
            return not matcher.has_conditions
        effect = self.rule.effect
        is_harmless = tool.is_own_tool or (tool.is_plain_read and effect is not PolicyEffect.DENY)
        if is_harmless and effect is not PolicyEffect.ALLOW and not matcher.names_parts:
            return False
        return matcher.match(tool)

    @cached_property
    def _tools(self) -> ToolMatcher:
        return ToolMatcher(self.rule)

    @cached_property
    def _agent_ids(self) -> frozenset[UUID]:
        return frozenset(self.rule.agent_ids)

    @cached_property
    def _kinds(self) -> "_KindPatterns":
        return _KindPatterns(self.rule.kinds, whole_words=self.rule.effect is PolicyEffect.ALLOW)

    @cached_property
    def _foreign_kinds(self) -> "_KindPatterns":
        foreign = (kind for kind in self.rule.kinds if not kind.isascii())
        return _KindPatterns(foreign, whole_words=True)


class _KindPatterns:
    """The kinds of a rule, compared by their letters; how their words are separated is ignored.

    A prefix such as `deploy.*` ends with a word if `whole_words` is set. A rule that restricts
    also matches `deployproduction`, so that leaving out the separator does not avoid it, and
    kinds with letters that look like those of the pattern.
    """

    def __init__(self, patterns: Iterable[str], *, whole_words: bool) -> None:
        self._patterns = tuple(patterns)
        self._exact, self._prefixes = self._split(_join_pattern)
        self._whole_words = whole_words
        self._matches_all = "" in self._prefixes

    def _split(self, join: Callable[[str], str]) -> tuple[frozenset[str], tuple[str, ...]]:
        """Return the letters of the kinds, and those of the beginnings of kinds."""
        exact, prefixes = set(), set()
        for pattern in self._patterns:
            (prefixes if pattern.endswith("*") else exact).add(join(pattern))
        return frozenset(exact), tuple(prefixes)

    @cached_property
    def _skeletons(self) -> tuple[frozenset[str], tuple[str, ...]]:
        return self._split(lambda pattern: build_confusable_skeleton(pattern.removesuffix("*")))

    def match(self, facts: RequestFacts) -> bool:
        """Return whether one of the patterns matches the kind of a request."""
        if self._matches_all or facts.joined_kind in self._exact:
            return True
        if self._whole_words:
            return not facts.beginnings.isdisjoint(self._prefixes)
        if facts.joined_kind.startswith(self._prefixes):
            return True
        exact, prefixes = self._skeletons
        return facts.skeleton in exact or facts.skeleton.startswith(prefixes)


@lru_cache(10_000)  # two policies have at most 5,000 kinds
def _join_pattern(pattern: str) -> str:
    """Return the letters of a kind in a rule, without a final asterisk."""
    return join_words(pattern.removesuffix("*"))


class RequestColumns(Protocol):
    """The columns of an approval that rules are about: an approval, or a row of a query."""

    action_type: str
    agent_id: UUID | None
    payload: dict[str, Any] | None
    confidence: float
    created_at: datetime


def build_facts(
    approval: Approval | RequestColumns,
    tag_ids: frozenset[UUID],
    read: Callable[[str], tuple[tuple[str, ...], str]] = read_kind,
) -> RequestFacts:
    """Return the facts about a request, with the tags of its tasks."""
    kind, skeleton = read(approval.action_type)
    return RequestFacts(
        kind=kind,
        skeleton=skeleton,
        agent_id=approval.agent_id,
        risk=parse_risk(approval.payload),
        confidence=approval.confidence,
        tag_ids=tag_ids,
        requested_at=approval.created_at,
    )


def build_tool_facts(tool: ToolFacts, agent_id: UUID, at: datetime) -> RequestFacts:
    """Return the facts about a tool call. It has no stated risk, which counts as high."""
    kind, skeleton = read_kind(f"tool.{tool.tool[:MAX_KIND_LENGTH]}")
    return RequestFacts(
        kind=kind,
        skeleton=skeleton,
        agent_id=agent_id,
        risk=RiskLevel.HIGH,
        confidence=100,
        tag_ids=frozenset(),
        requested_at=at,
        tool=tool,
    )


def parse_risk(payload: Mapping[str, Any] | None) -> RiskLevel:
    """Return the risk that a payload states, or HIGH.

    The highest of several stated risks counts. A request without one is not treated as harmless:
    an agent could otherwise avoid a rule by leaving the risk out.
    """
    payload = payload or {}
    risks = [_parse_level(payload[key]) for key in RISK_KEYS if payload.get(key) is not None]
    if any(_is_set(payload.get(flag)) for flag in RISK_FLAGS):
        risks.append(RiskLevel.HIGH)
    return max(risks, key=_rank) if risks else RiskLevel.HIGH


def _parse_level(stated: object) -> RiskLevel:
    """Return a stated risk; an unknown one counts as high."""
    is_short = isinstance(stated, str) and len(stated) <= MAX_RISK_LENGTH
    word = stated.strip().lower() if is_short else ""
    return RiskLevel(word) if word in RISK_ORDER else RiskLevel.HIGH


def _is_set(flag: object) -> bool:
    """Return whether a flag is set; only false, null, 0 and short texts that say so are not."""
    if not isinstance(flag, str):
        return bool(flag)
    return len(flag) > MAX_RISK_LENGTH or flag.strip().lower() not in NO_WORDS


def may_decide(verdict: PolicyVerdict, user_id: UUID, role: Role) -> bool:
    """Return whether the verdict lets a user with this role decide."""
    if verdict.decider_ids and user_id not in verdict.decider_ids:
        return False
    rank = organizations.ROLE_RANK
    return rank[role] >= rank[verdict.decider_role]


EFFECT_DESCRIPTION = (
    "`allow`: approved at once, decided by the policy. `ask_one`: one person decides. `ask_two`: "
    "two different people approve, neither of whom is the requester. `deny`: rejected at once."
)
RISK_DESCRIPTION = "The risk in `payload.risk`. A request that states none counts as `high`."

Ids = Annotated[list[UUID], Field(max_length=MAX_VALUES)]
Kind = Annotated[str, Field(max_length=MAX_KIND_LENGTH)]
Pattern = Annotated[str, Field(max_length=MAX_PATTERN_LENGTH)]
Minute = Annotated[int, Field(ge=0, lt=1_440)]
Weekday = Annotated[int, Field(ge=0, le=6)]


class PolicyWindow(Fields):
    """A part of each week. A window whose end is not after its start ends on the next day.

    Unknown fields are rejected.
    """

    model_config = ConfigDict(extra="forbid")

    time_zone: ShortText = Field(description="IANA name, such as `Europe/Vienna`.")
    starts_at: Minute = Field(default=0, description="Minutes after midnight.")
    ends_at: Minute = Field(default=0, description="Minutes after midnight, exclusive.")
    weekdays: tuple[Weekday, ...] = Field(
        default=(), max_length=7, description="Of the start; 0 is Monday. Empty: every day."
    )


class PolicyRuleFields(Fields):
    """A rule. Conditions that are empty or null match every request; all others must hold.

    Unknown fields are rejected: a condition with a wrong name would be one that always holds.
    """

    model_config = ConfigDict(extra="forbid")

    example = {
        "name": "Deployments at night",
        "effect": "ask_two",
        "kinds": ["deploy.*"],
        "time_window": {"time_zone": "Europe/Vienna", "starts_at": 1320, "ends_at": 360},
        "expires_after": 14400,
    }

    id: UUID = Field(default_factory=new_id, description="Created if missing.")
    name: Annotated[ShownName, Label(N_("Name"), FieldKind.LINE)]
    effect: Annotated[PolicyEffect, Label(N_("What happens"))] = Field(
        description=EFFECT_DESCRIPTION
    )
    kinds: Annotated[list[Kind], Label(N_("Kinds of action"), FieldKind.TEXT)] = Field(
        default=[],
        max_length=MAX_VALUES,
        description="Values of `action_type`. A trailing `*` matches any ending.",
    )
    agent_ids: Annotated[Ids, Label(N_("Agents"))] = []
    risk_at_least: Annotated[RiskLevel | None, Label(N_("Risk at least"))] = Field(
        default=None, description=RISK_DESCRIPTION
    )
    risk_at_most: Annotated[RiskLevel | None, Label(N_("Risk at most"))] = Field(
        default=None, description=RISK_DESCRIPTION
    )
    confidence_below: Annotated[
        float | None,
        Label(N_("Confidence below"), error=N_("Confidence must be more than 0 and at most 100.")),
    ] = Field(default=None, gt=0, le=100)
    tag_ids: Annotated[Ids, Label(N_("Tags of the task"))] = Field(
        default=[], description="One of the tasks has one of these tags."
    )
    time_window: Annotated[PolicyWindow | None, Label(N_("Time"))] = None
    clients: Annotated[list[CodingClient], Label(N_("Clients"))] = Field(
        default=[],
        max_length=MAX_VALUES,
        description="A rule with this or one of the five conditions after it matches only tool "
        "calls of coding agents. They are compared with what the client reports.",
    )
    tools: Annotated[list[Pattern], Label(N_("Tools"), FieldKind.TEXT)] = Field(
        default=[],
        max_length=MAX_VALUES,
        description="Names of tools, such as `Bash`. A trailing `*` matches any ending.",
    )
    actions: Annotated[list[ToolAction], Label(N_("What the call does"))] = Field(
        default=[],
        max_length=MAX_VALUES,
        description="A rule that allows must name everything that a call does. Another rule "
        "matches if the call does one of these.",
    )
    commands: Annotated[list[Pattern], Label(N_("Commands"), FieldKind.TEXT)] = Field(
        default=[],
        max_length=MAX_VALUES,
        description="Words of commands. A rule that allows must name every command of a call, word "
        "for word; after a last `*` more words may follow that do nothing else. Another rule "
        "matches if one of the commands has the same program and these words in this order.",
    )
    paths: Annotated[list[Pattern], Label(N_("Paths"), FieldKind.TEXT)] = Field(
        default=[],
        max_length=MAX_VALUES,
        description="Relative to the folder of the project, or absolute, or from `~`. `*` matches "
        "in a name, `**` any folders. A rule that allows must name every path of a call.",
    )
    hosts: Annotated[list[Pattern], Label(N_("Hosts"), FieldKind.TEXT)] = Field(
        default=[],
        max_length=MAX_VALUES,
        description="Names of hosts; `*.example.com` matches those below, `*` all. A rule that "
        "allows must name every host of a call.",
    )
    expires_after: Annotated[
        Annotated[int, Field(ge=60, le=90 * 86_400)] | None,
        Label(
            N_("Reject automatically after"),
            error=N_("Requests can expire after 1 minute to 90 days."),
        ),
    ] = Field(default=None, description="Seconds until a request without a decision is rejected.")
    decider_role: Annotated[Role, Label(N_("Who may decide"))] = Field(
        default=Role.MEMBER, description="Who may decide: this role or a higher one."
    )
    decider_ids: Annotated[Ids, Label(N_("Only these people"))] = Field(
        default=[], description="Only these users may decide. Empty: everybody with the role."
    )
    requires_recent_sign_in: Annotated[bool, Label(N_("Recent sign-in required"))] = Field(
        default=False,
        description="Only people decide who have signed in within 15 minutes; not with a token.",
    )
    is_enabled: bool = True

    def to_rule(self) -> PolicyRule:
        """Return the rule as it is stored and evaluated."""
        values: dict[str, Any] = dict(self)
        values |= {name: tuple(value) for name, value in self if isinstance(value, list)}
        if self.time_window is not None:
            values["time_window"] = WeeklyWindow(**dict(self.time_window))
        return PolicyRule(**values)


class PolicyReplacement(Fields):
    """All rules of a policy, in the order of evaluation."""

    example = {"rules": [PolicyRuleFields.example]}

    rules: list[PolicyRuleFields] = Field(max_length=MAX_RULES)

    def to_rules(self) -> list[PolicyRule]:
        """Return the rules as they are stored and evaluated."""
        return [rule.to_rule() for rule in self.rules]


def check_rules(rules: Sequence[PolicyRule]) -> list[PolicyRule]:
    """Return the rules with normalized kinds. Raises Invalid with the field, as `rules.2.kinds`."""
    if len(rules) > MAX_RULES:
        reason = N_("A policy has at most %(max_count)s rules.")
        raise Invalid("too_many_rules", reason, field="rules", max_count=MAX_RULES)
    if len({rule.id for rule in rules}) < len(rules):
        raise Invalid("duplicate_rule", N_("Each rule must have an id of its own."), field="rules")
    return [_check_rule(rule, f"rules.{number}") for number, rule in enumerate(rules)]


def _check_rule(rule: PolicyRule, path: str) -> PolicyRule:
    least, most = rule.risk_at_least, rule.risk_at_most
    if least and most and _rank(least) > _rank(most):
        reason = N_("The highest risk must not be lower than the lowest.")
        raise Invalid("risk_range_empty", reason, field=f"{path}.risk_at_most")
    if len(set(rule.decider_ids)) == 1 and rule.effect is PolicyEffect.ASK_TWO:
        reason = N_("Two people must decide, so name at least two or none.")
        raise Invalid("two_deciders_required", reason, field=f"{path}.decider_ids")
    window = rule.time_window
    if window is not None and window.time_zone not in list_time_zone_names():
        reason = N_("This is not a time zone. Use a name such as Europe/Vienna.")
        raise Invalid("time_zone_unknown", reason, field=f"{path}.time_window")
    kinds = tuple(kind.strip().lower() for kind in rule.kinds)
    for kind in kinds:
        # Some characters stand for a sentence of 18: they would make each comparison slow.
        is_known = kind == "*" or 0 < len(_join_pattern(kind)) <= MAX_KIND_LENGTH
        if not is_known or "*" in kind[:-1]:
            reason = N_("A kind is a name such as deploy.site, or a beginning such as deploy.*")
            raise Invalid("kind_invalid", reason, field=f"{path}.kinds")
    return replace(rule, kinds=kinds, **check_tool_conditions(rule, path))


def _verdict(rule: PolicyRule) -> PolicyVerdict:
    return PolicyVerdict(
        effect=rule.effect,
        rule_name=rule.name,
        expires_after=rule.expires_after,
        decider_role=rule.decider_role,
        decider_ids=rule.decider_ids,
        requires_recent_sign_in=rule.requires_recent_sign_in,
    )


def _ask_one(verdict: PolicyVerdict | None) -> PolicyVerdict:
    """Return a verdict that asks one person instead of allowing."""
    return replace(verdict or PolicyVerdict(), effect=PolicyEffect.ASK_ONE)


def _contains(window: WeeklyWindow, moment: datetime) -> bool:
    local = moment.astimezone(ZoneInfo(window.time_zone))
    minute, today = local.hour * 60 + local.minute, local.weekday()
    days = window.weekdays or range(7)
    if window.starts_at < window.ends_at:
        return today in days and window.starts_at <= minute < window.ends_at
    yesterday = (today - 1) % 7
    return (today in days and minute >= window.starts_at) or (
        yesterday in days and minute < window.ends_at
    )


def _rank(risk: RiskLevel) -> int:
    return RISK_ORDER.index(risk)
