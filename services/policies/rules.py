"""Evaluate approval policies and validate their rules. Pure functions."""

import logging
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from core.clock import list_time_zone_names
from core.errors import Invalid
from core.text import N_, is_storable
from core.validation import MAX_NAME_LENGTH, nonblank_text
from models import Approval, PolicyEffect, PolicyRule, PolicyVerdict, RiskLevel, Role, WeeklyWindow
from services import organizations
from services.approval_actions import build_confusable_skeleton, join_words, read_kind

MAX_RULES = 50  # of one policy
MAX_VALUES = 50  # in one list of a rule
MAX_KIND_LENGTH = 200  # characters, as written and as compared
MAX_CACHED_PATTERNS = 10_000  # kinds in rules; two policies have at most 5,000
MIN_EXPIRY = 60  # seconds
MAX_EXPIRY = 90 * 86_400
MINUTES_PER_DAY = 1_440

LIST_FIELDS = ("kinds", "agent_ids", "tag_ids", "decider_ids")
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
        for matcher in self._matchers:
            try:
                if matcher.matches(facts):
                    return matcher.build_verdict(facts)
            except Exception:
                rule = matcher.rule
                log.exception("a rule of an approval policy could not be evaluated: %s", rule.id)
                verdict = _verdict(rule)
                is_allowed = verdict.effect is PolicyEffect.ALLOW
                return replace(verdict, effect=PolicyEffect.ASK_ONE) if is_allowed else verdict
        return PolicyVerdict()

    def build_key(self, facts: RequestFacts) -> Hashable:
        """Return a key that is equal for requests that no rule can distinguish.

        Times are distinguished by the minute, in which windows begin and end.
        """
        return (
            *(facts.kind, facts.skeleton),
            facts.agent_id if facts.agent_id in self._agent_ids else None,
            facts.risk,
            bisect_right(self._thresholds, facts.confidence),
            facts.tag_ids & self.tag_ids,
            facts.requested_at.replace(second=0, microsecond=0) if self._has_windows else None,
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


@lru_cache(MAX_CACHED_PATTERNS)
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


def check_rules(rules: Sequence[PolicyRule]) -> list[PolicyRule]:
    """Return the rules with trimmed texts. Raises Invalid with the field, as `rules.2.name`."""
    if len(rules) > MAX_RULES:
        reason = N_("A policy has at most %(max_count)s rules.")
        raise Invalid("too_many_rules", reason, field="rules", max_count=MAX_RULES)
    if len({rule.id for rule in rules}) < len(rules):
        raise Invalid("duplicate_rule", N_("Each rule must have an id of its own."), field="rules")
    return [_check_rule(rule, f"rules.{number}") for number, rule in enumerate(rules)]


def _check_rule(rule: PolicyRule, path: str) -> PolicyRule:
    name = nonblank_text(MAX_NAME_LENGTH)(rule.name, f"{path}.name")
    for field in LIST_FIELDS:
        if len(getattr(rule, field)) > MAX_VALUES:
            reason = N_("At most %(max_count)s values.")
            raise Invalid("too_many", reason, field=f"{path}.{field}", max_count=MAX_VALUES)
    _check_numbers(rule, path)
    _check_combinations(rule, path)
    if rule.time_window is not None:
        _check_window(rule.time_window, f"{path}.time_window")
    lists = {field: tuple(getattr(rule, field)) for field in LIST_FIELDS}
    lists["kinds"] = tuple(_check_kind(kind, f"{path}.kinds") for kind in rule.kinds)
    return replace(rule, name=name, **lists)


def _check_numbers(rule: PolicyRule, path: str) -> None:
    below = rule.confidence_below
    if below is not None and not 0 < below <= 100:
        reason = N_("Confidence must be more than 0 and at most 100.")
        raise Invalid("confidence_out_of_range", reason, field=f"{path}.confidence_below")
    if rule.expires_after is not None and not MIN_EXPIRY <= rule.expires_after <= MAX_EXPIRY:
        reason = N_("Requests can expire after 1 minute to 90 days.")
        raise Invalid("expiry_out_of_range", reason, field=f"{path}.expires_after")


def _check_combinations(rule: PolicyRule, path: str) -> None:
    least, most = rule.risk_at_least, rule.risk_at_most
    if least and most and _rank(least) > _rank(most):
        reason = N_("The highest risk must not be lower than the lowest.")
        raise Invalid("risk_range_empty", reason, field=f"{path}.risk_at_most")
    if len(set(rule.decider_ids)) == 1 and rule.effect is PolicyEffect.ASK_TWO:
        reason = N_("Two people must decide, so name at least two or none.")
        raise Invalid("two_deciders_required", reason, field=f"{path}.decider_ids")


def _check_kind(kind: str, field: str) -> str:
    kind = kind.strip().lower()
    is_short = len(kind) <= MAX_KIND_LENGTH  # only short texts are normalized
    # Some characters stand for a sentence of 18: they would make each comparison slow.
    is_known = is_short and (kind == "*" or 0 < len(_join_pattern(kind)) <= MAX_KIND_LENGTH)
    if not is_known or "*" in kind[:-1] or not is_storable(kind):
        reason = N_("A kind is a name such as deploy.site, or a beginning such as deploy.*")
        raise Invalid("kind_invalid", reason, field=field)
    return kind


def _check_window(window: WeeklyWindow, field: str) -> None:
    for minute in (window.starts_at, window.ends_at):
        if not 0 <= minute < MINUTES_PER_DAY:
            raise Invalid("time_invalid", N_("A time is between 00:00 and 23:59."), field=field)
    if any(day not in range(7) for day in window.weekdays):
        raise Invalid("weekday_invalid", N_("A weekday is 0 (Monday) to 6 (Sunday)."), field=field)
    if window.time_zone not in list_time_zone_names():
        reason = N_("This is not a time zone. Use a name such as Europe/Vienna.")
        raise Invalid("time_zone_unknown", reason, field=field)


def _verdict(rule: PolicyRule) -> PolicyVerdict:
    return PolicyVerdict(
        effect=rule.effect,
        rule_name=rule.name,
        expires_after=rule.expires_after,
        decider_role=rule.decider_role,
        decider_ids=rule.decider_ids,
        requires_recent_sign_in=rule.requires_recent_sign_in,
    )


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
