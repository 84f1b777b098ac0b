"""Texts about the rules of approval policies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from models import PolicyEffect, PolicyRule, RiskLevel, Role, WeeklyWindow
from services.policies import ReferenceNames
from web.ui.translation import N_, _, ngettext, pgettext, translate

EFFECTS: Mapping[PolicyEffect, tuple[str, str, str]] = {
    PolicyEffect.ALLOW: (N_("Allow"), N_("The request is approved at once."), "good"),
    PolicyEffect.ASK_ONE: (N_("Ask one person"), N_("One person approves or rejects it."), "line"),
    PolicyEffect.ASK_TWO: (
        N_("Ask two people"),
        N_("Two different people must approve it. Nobody approves their own request."),
        "accent",
    ),
    PolicyEffect.DENY: (N_("Deny"), N_("The request is rejected at once."), "danger"),
}
"""Each effect: its label, its description, and the tone of its badge."""

DECIDERS = {
    Role.MEMBER: N_("Everybody who can change the board"),
    Role.ADMIN: N_("Admins and owners"),
    Role.OWNER: N_("Owners"),
}
EXPIRY_CHOICES = (3_600, 14_400, 86_400, 259_200, 604_800, 2_592_000)  # seconds


@dataclass(frozen=True)
class RuleRow:
    """A rule as a row: when it applies, and what happens then."""

    rule: PolicyRule
    conditions: Sequence[str]
    effect: str
    tone: str
    consequences: Sequence[str]


def list_effects() -> dict[PolicyEffect, tuple[str, str, str]]:
    """Return the effects in the reader's language."""
    return {
        effect: (translate(label), translate(about), tone)
        for effect, (label, about, tone) in EFFECTS.items()
    }


def list_deciders() -> list[tuple[Role, str]]:
    """Return the choices for the role that may decide."""
    return [(role, translate(label)) for role, label in DECIDERS.items()]


def list_risks() -> list[tuple[str, str]]:
    """Return the choices for a risk; "" for any."""
    return [
        ("", pgettext("risk", "Any")),
        (RiskLevel.LOW, pgettext("risk", "Low")),
        (RiskLevel.MEDIUM, pgettext("risk", "Medium")),
        (RiskLevel.HIGH, pgettext("risk", "High")),
        (RiskLevel.CRITICAL, pgettext("risk", "Critical")),
    ]


def list_weekdays() -> list[tuple[int, str]]:
    """Return the days of the week, as short as possible."""
    names = (_("Mon"), _("Tue"), _("Wed"), _("Thu"), _("Fri"), _("Sat"), _("Sun"))
    return list(enumerate(names))


def list_expiry_choices(current: int | None) -> list[tuple[str, str]]:
    """Return the choices for the expiry, with one for a value that an API call has set."""
    choices = dict.fromkeys([*EXPIRY_CHOICES, *([current] if current else [])])
    return [("", _("Never")), *((str(one), describe_expiry(one)) for one in choices)]


def describe_expiry(seconds: int) -> str:
    """Return when a request expires, in the largest unit that divides it: "After 4 hours"."""
    if seconds % 86_400 == 0:
        return ngettext("After %(num)d day", "After %(num)d days", seconds // 86_400)
    if seconds % 3_600 == 0:
        return ngettext("After %(num)d hour", "After %(num)d hours", seconds // 3_600)
    if seconds % 60 == 0:
        return ngettext("After %(num)d minute", "After %(num)d minutes", seconds // 60)
    return ngettext("After %(num)d second", "After %(num)d seconds", seconds)


def list_choices(names: Mapping[UUID, str], chosen: Sequence[str]) -> list[tuple[str, str]]:
    """Return the choices of a list field; what is chosen and was deleted is kept."""
    choices = [(str(id), name) for id, name in names.items()]
    known = {value for value, _name in choices}
    return [*choices, *((value, _("deleted")) for value in chosen if value not in known)]


def build_rule_rows(rules: Sequence[PolicyRule], names: ReferenceNames) -> list[RuleRow]:
    """Return the rows of rules."""
    effects = list_effects()
    return [
        RuleRow(
            rule,
            list(_conditions(rule, names)) or [_("Every request")],
            effects[rule.effect][0],
            effects[rule.effect][2],
            list(_consequences(rule, names)),
        )
        for rule in rules
    ]


def _conditions(rule: PolicyRule, names: ReferenceNames) -> Sequence[str]:
    risks, below = dict(list_risks()), rule.confidence_below
    least, most = risks.get(rule.risk_at_least or ""), risks.get(rule.risk_at_most or "")
    lines = (
        (rule.kinds, _("Kind: %(kinds)s", kinds=_join(rule.kinds))),
        (rule.agent_ids, _("Agent: %(names)s", names=_named(rule.agent_ids, names.agents))),
        (rule.risk_at_least, _("Risk: %(risk)s or higher", risk=least)),
        (rule.risk_at_most, _("Risk: %(risk)s or lower", risk=most)),
        (below, _("Confidence: below %(number)g", number=below or 0)),
        (rule.tag_ids, _("Tag: %(names)s", names=_named(rule.tag_ids, names.tags))),
        (rule.time_window, _("Time: %(window)s", window=describe_window(rule.time_window))),
    )
    return [text for condition, text in lines if condition]


def _consequences(rule: PolicyRule, names: ReferenceNames) -> Sequence[str]:
    if rule.effect in (PolicyEffect.ALLOW, PolicyEffect.DENY):
        return []
    deciders = _named(rule.decider_ids, names.users) or translate(DECIDERS[rule.decider_role])
    lines = [_("Decided by: %(deciders)s", deciders=deciders)]
    if rule.requires_recent_sign_in:
        lines.append(_("Who decides must have signed in within the last 15 minutes"))
    if rule.expires_after:
        expiry = describe_expiry(rule.expires_after)
        lines.append(_("Rejected without a decision: %(expiry)s", expiry=expiry))
    return lines


def describe_window(window: WeeklyWindow | None) -> str:
    """Return when a window is: "Mon, Fri from 22:00 to 06:00 (Europe/Vienna)", or ""."""
    if window is None:
        return ""
    weekdays = dict(list_weekdays())
    days = _join([weekdays[day] for day in sorted(window.weekdays)]) or _("Every day")
    values = {"days": days, "zone": window.time_zone}
    if window.starts_at == window.ends_at == 0:
        return _("%(days)s (%(zone)s)", **values)
    start, end = format_minutes(window.starts_at), format_minutes(window.ends_at)
    if window.ends_at == 0:
        return _("%(days)s from %(start)s (%(zone)s)", start=start, **values)
    return _("%(days)s from %(start)s to %(end)s (%(zone)s)", start=start, end=end, **values)


def format_minutes(minutes: int) -> str:
    """Return a time of day as "14:06"."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _named(ids: Sequence[UUID], names: Mapping[UUID, str]) -> str:
    return _join([names.get(id, _("deleted")) for id in ids])


def _join(words: Sequence[str]) -> str:
    return ", ".join(words)
