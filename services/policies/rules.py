"""Evaluate approval policies and validate their rules. Pure functions."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate
from typing import Any, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from core.errors import Invalid
from core.text import is_storable
from core.validation import MAX_NAME_LENGTH, nonblank_text
from models import Approval, PolicyEffect, PolicyRule, PolicyVerdict, RiskLevel, Role, WeeklyWindow
from services.action_kinds import normalize_kind

MAX_RULES = 50  # of one policy
MAX_VALUES = 50  # in one list of a rule
MAX_KIND_LENGTH = 200  # characters
MIN_EXPIRY = 60  # seconds
MAX_EXPIRY = 90 * 86_400
MINUTES_PER_DAY = 1_440

LIST_FIELDS = ("kinds", "agent_ids", "tag_ids", "decider_ids")
RISK_ORDER = list(RiskLevel)
ROLE_RANK = {Role.MEMBER: 0, Role.ADMIN: 1, Role.OWNER: 2}
RISK_KEYS = ("risk", "risk_level", "riskLevel")
RISK_FLAGS = ("risky", "external", "destructive", "irreversible")
NO_WORDS = {"", "false", "no", "0"}

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RequestFacts:
    """What the conditions of rules are compared with."""

    kind: tuple[str, ...]  # its words
    agent_id: UUID | None
    risk: RiskLevel
    confidence: float
    tag_ids: frozenset[UUID]
    requested_at: datetime


def evaluate_rules(rules: Iterable[PolicyRule], facts: RequestFacts) -> PolicyVerdict:
    """Return the verdict of the first enabled rule that matches.

    A rule that cannot be evaluated counts as matching, but never allows anything.
    """
    for rule in rules:
        if not rule.is_enabled:
            continue
        try:
            if matches(rule, facts):
                return _verdict_about(rule, facts)
        except Exception:
            log.exception("a rule of an approval policy could not be evaluated: %s", rule.id)
            verdict = _verdict(rule)
            is_allowed = verdict.effect is PolicyEffect.ALLOW
            return replace(verdict, effect=PolicyEffect.ASK_ONE) if is_allowed else verdict
    return PolicyVerdict()


def matches(rule: PolicyRule, facts: RequestFacts) -> bool:
    """Return whether all conditions of a rule hold."""
    return (
        (not rule.kinds or _matches_kinds(rule, facts.kind))
        and (not rule.agent_ids or facts.agent_id in rule.agent_ids)
        and (rule.risk_at_least is None or _rank(facts.risk) >= _rank(rule.risk_at_least))
        and (rule.risk_at_most is None or _rank(facts.risk) <= _rank(rule.risk_at_most))
        and (rule.confidence_below is None or facts.confidence < rule.confidence_below)
        and (not rule.tag_ids or not facts.tag_ids.isdisjoint(rule.tag_ids))
        and (rule.time_window is None or _contains(rule.time_window, facts.requested_at))
    )


class RequestColumns(Protocol):
    """The columns of an approval that rules are about: an approval, or a row of a query."""

    action_type: str
    agent_id: UUID | None
    payload: dict[str, Any] | None
    confidence: float
    created_at: datetime


def build_facts(approval: Approval | RequestColumns, tag_ids: frozenset[UUID]) -> RequestFacts:
    """Return the facts about a request, with the tags of its tasks."""
    return RequestFacts(
        kind=normalize_kind(approval.action_type),
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
    word = stated.strip().lower() if isinstance(stated, str) else ""
    return RiskLevel(word) if word in RISK_ORDER else RiskLevel.HIGH


def _is_set(flag: object) -> bool:
    """Return whether a flag is set; only false, null, 0 and texts that say so are not."""
    return flag.strip().lower() not in NO_WORDS if isinstance(flag, str) else bool(flag)


def may_decide(verdict: PolicyVerdict, user_id: UUID, role: Role) -> bool:
    """Return whether the verdict lets a user with this role decide."""
    if verdict.decider_ids and user_id not in verdict.decider_ids:
        return False
    return ROLE_RANK[role] >= ROLE_RANK[verdict.decider_role]


def check_rules(rules: Sequence[PolicyRule]) -> list[PolicyRule]:
    """Return the rules with trimmed texts. Raises Invalid with the field, as `rules.2.name`."""
    if len(rules) > MAX_RULES:
        reason = f"A policy has at most {MAX_RULES} rules."
        raise Invalid("too_many_rules", reason, field="rules", max_count=MAX_RULES)
    if len({rule.id for rule in rules}) < len(rules):
        raise Invalid("duplicate_rule", "Each rule must have an id of its own.", field="rules")
    return [_check_rule(rule, f"rules.{number}") for number, rule in enumerate(rules)]


def _check_rule(rule: PolicyRule, path: str) -> PolicyRule:
    name = nonblank_text(MAX_NAME_LENGTH)(rule.name, f"{path}.name")
    for field in LIST_FIELDS:
        if len(getattr(rule, field)) > MAX_VALUES:
            reason = f"At most {MAX_VALUES} values."
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
        reason = "Confidence must be more than 0 and at most 100."
        raise Invalid("confidence_out_of_range", reason, field=f"{path}.confidence_below")
    if rule.expires_after is not None and not MIN_EXPIRY <= rule.expires_after <= MAX_EXPIRY:
        reason = "Requests can expire after 1 minute to 90 days."
        raise Invalid("expiry_out_of_range", reason, field=f"{path}.expires_after")


def _check_combinations(rule: PolicyRule, path: str) -> None:
    least, most = rule.risk_at_least, rule.risk_at_most
    if least and most and _rank(least) > _rank(most):
        reason = "The highest risk must not be lower than the lowest."
        raise Invalid("risk_range_empty", reason, field=f"{path}.risk_at_most")
    if len(set(rule.decider_ids)) == 1 and rule.effect is PolicyEffect.ASK_TWO:
        reason = "Two people must decide, so name at least two or none."
        raise Invalid("two_deciders_required", reason, field=f"{path}.decider_ids")


def _check_kind(kind: str, field: str) -> str:
    kind = kind.strip().lower()
    is_short = len(kind) <= MAX_KIND_LENGTH  # only short texts are normalized
    is_known = is_short and (kind == "*" or bool(normalize_kind(kind)))
    if not is_known or "*" in kind[:-1] or not is_storable(kind):
        reason = "A kind is a name such as deploy.site, or a beginning such as deploy.*"
        raise Invalid("kind_invalid", reason, field=field)
    return kind


def _check_window(window: WeeklyWindow, field: str) -> None:
    for minute in (window.starts_at, window.ends_at):
        if not 0 <= minute < MINUTES_PER_DAY:
            raise Invalid("time_invalid", "A time is between 00:00 and 23:59.", field=field)
    if any(day not in range(7) for day in window.weekdays):
        raise Invalid("weekday_invalid", "A weekday is 0 (Monday) to 6 (Sunday).", field=field)
    if window.time_zone not in available_timezones():
        reason = "This is not a time zone. Use a name such as Europe/Vienna."
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


def _verdict_about(rule: PolicyRule, facts: RequestFacts) -> PolicyVerdict:
    """Return the verdict of a rule that matches.

    A kind with letters outside ASCII can look like another kind, for which there are other rules.
    It is allowed only by a rule that names it; otherwise one person is asked.
    """
    verdict = _verdict(rule)
    named = any(not one.isascii() and _matches_kind(one, facts.kind) for one in rule.kinds)
    is_clear = named or "".join(facts.kind).isascii()
    if verdict.effect is PolicyEffect.ALLOW and not is_clear:
        return replace(verdict, effect=PolicyEffect.ASK_ONE)
    return verdict


def _matches_kinds(rule: PolicyRule, kind: tuple[str, ...]) -> bool:
    is_allowed = rule.effect is PolicyEffect.ALLOW
    return any(_matches_kind(one, kind, whole_words=is_allowed) for one in rule.kinds)


def _matches_kind(pattern: str, kind: tuple[str, ...], *, whole_words: bool = True) -> bool:
    """Compare the letters of a kind; where its words are separated does not matter.

    A prefix such as `deploy.*` ends with a word if `whole_words` is set. A rule that restricts
    also matches `deployproduction`, so that leaving out the separator does not avoid it.
    """
    joined = "".join(normalize_kind(pattern.removesuffix("*")))
    if not pattern.endswith("*"):
        return joined == "".join(kind)
    if whole_words:
        return not joined or joined in accumulate(kind)
    return "".join(kind).startswith(joined)


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
