"""Forms of approval policies."""

import json
import re
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field

from models import PolicyEffect, PolicyRule, RiskLevel, Role, WeeklyWindow, new_id
from services import policies
from web.ui.edited_fields import EditedField, FieldKind
from web.ui.forms import BlankAsNone, Line, OptionalLine, OptionalText, Switch
from web.ui.translation import N_, _, ngettext

EXPIRY_CHOICES = (3_600, 14_400, 86_400, 259_200, 604_800, 2_592_000)  # seconds
CLOCK_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


def _check_clock_time(text: str | None) -> str | None:
    if text is not None and not CLOCK_TIME.fullmatch(text):
        raise ValueError(_("Write a time like 14:30."))
    return text


ClockTime = Annotated[str | None, BlankAsNone, AfterValidator(_check_clock_time)]


class RuleForm(BaseModel):
    """A rule. Fields that are not submitted or blank are no condition."""

    name: Line
    effect: PolicyEffect
    kinds: OptionalText = None  # one on each line
    agent_ids: list[UUID] = []
    risk_at_least: Annotated[RiskLevel | None, BlankAsNone] = None
    risk_at_most: Annotated[RiskLevel | None, BlankAsNone] = None
    confidence_below: Annotated[float | None, BlankAsNone] = None
    tag_ids: list[UUID] = []
    starts_at: ClockTime = None
    ends_at: ClockTime = None
    weekdays: list[Annotated[int, Field(ge=0, le=6)]] = []
    time_zone: OptionalLine = None
    expires_after: Annotated[int | None, BlankAsNone] = None
    decider_role: Role = Role.MEMBER
    decider_ids: list[UUID] = []
    requires_recent_sign_in: Switch = False

    def to_rule(self, rule_id: UUID | None, is_enabled: bool) -> PolicyRule:
        """Return the rule with the given id, or a new one."""
        kinds = [line.strip() for line in (self.kinds or "").splitlines() if line.strip()]
        excluded = {"kinds", "starts_at", "ends_at", "weekdays", "time_zone"}
        return PolicyRule(
            id=rule_id or new_id(),
            kinds=kinds,
            time_window=self.time_window,
            is_enabled=is_enabled,
            **self.model_dump(exclude=excluded),
        )

    @property
    def time_window(self) -> WeeklyWindow | None:
        """The window, if a time or a weekday was submitted."""
        if not (self.starts_at or self.ends_at or self.weekdays):
            return None
        return WeeklyWindow(
            time_zone=self.time_zone or "UTC",
            starts_at=_parse_minutes(self.starts_at),
            ends_at=_parse_minutes(self.ends_at),
            weekdays=tuple(self.weekdays),
        )


def rule_form_values(rule: PolicyRule | None, time_zone: str) -> dict[str, Sequence[str]]:
    """Return the values of the form for a rule, or for a new one."""
    if rule is None:
        return {"effect": ["ask_one"], "decider_role": ["member"], "time_zone": [time_zone]}
    window = rule.time_window
    values: dict[str, Any] = {
        "name": rule.name,
        "effect": rule.effect,
        "kinds": "\n".join(rule.kinds),
        "agent_ids": rule.agent_ids,
        "risk_at_least": rule.risk_at_least,
        "risk_at_most": rule.risk_at_most,
        "confidence_below": rule.confidence_below,
        "tag_ids": rule.tag_ids,
        "starts_at": format_minutes(window.starts_at) if window else None,
        "ends_at": format_minutes(window.ends_at) if window else None,
        "weekdays": window.weekdays if window else (),
        "time_zone": window.time_zone if window else time_zone,
        "expires_after": rule.expires_after,
        "decider_role": rule.decider_role,
        "decider_ids": rule.decider_ids,
    }
    if rule.requires_recent_sign_in:
        values["requires_recent_sign_in"] = "true"
    return {name: _texts(value) for name, value in values.items()}


def list_edited_fields(rule: PolicyRule) -> list[EditedField]:
    """Return the current values of a rule as its form shows them."""
    return [
        EditedField("name", N_("Name"), rule.name, FieldKind.LINE),
        EditedField("effect", N_("What happens"), rule.effect),
        EditedField("kinds", N_("Kinds of action"), "\n".join(rule.kinds), FieldKind.TEXT),
        EditedField("agent_ids", N_("Agents"), tuple(rule.agent_ids)),
        EditedField("risk_at_least", N_("Risk at least"), rule.risk_at_least),
        EditedField("risk_at_most", N_("Risk at most"), rule.risk_at_most),
        EditedField("confidence_below", N_("Confidence below"), rule.confidence_below),
        EditedField("tag_ids", N_("Tags of the task"), tuple(rule.tag_ids)),
        EditedField(
            "time_window",
            N_("Time"),
            encode_window(rule.time_window),
            submitted=lambda form: encode_window(form.parse(RuleForm).time_window),
        ),
        EditedField("expires_after", N_("Rejected without a decision"), rule.expires_after),
        EditedField("decider_role", N_("Who may decide"), rule.decider_role),
        EditedField("decider_ids", N_("Only these people"), tuple(rule.decider_ids)),
        EditedField(
            "requires_recent_sign_in",
            N_("Recent sign-in required"),
            rule.requires_recent_sign_in,
        ),
    ]


def encode_window(window: WeeklyWindow | None) -> str:
    """Return a window as a text to compare, or ""."""
    if window is None:
        return ""
    return json.dumps(window.to_json() | {"weekdays": sorted(window.weekdays)}, sort_keys=True)


def format_minutes(minutes: int) -> str:
    """Return a time of day as "14:06"."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


def list_expiry_choices(current: str) -> list[tuple[str, str]]:
    """Return the choices for the expiry, with one for a value that an API call has set."""
    is_number = current.isdecimal() and len(current) < 9
    choices = dict.fromkeys([*EXPIRY_CHOICES, *([int(current)] if is_number else [])])
    return [("", _("Never")), *((str(one), describe_expiry(one)) for one in choices)]


def describe_expiry(seconds: int) -> str:
    """Return when a request expires, in the largest unit that divides it: "After 4 hours"."""
    if seconds and seconds % 86_400 == 0:
        return ngettext("After %(num)d day", "After %(num)d days", seconds // 86_400)
    if seconds and seconds % 3_600 == 0:
        return ngettext("After %(num)d hour", "After %(num)d hours", seconds // 3_600)
    if seconds and seconds % 60 == 0:
        return ngettext("After %(num)d minute", "After %(num)d minutes", seconds // 60)
    return ngettext("After %(num)d second", "After %(num)d seconds", seconds)


class PresetForm(BaseModel):
    """The preset to use."""

    preset: str

    def find_preset(self) -> policies.PolicyPreset | None:
        """Return the chosen preset."""
        return next((one for one in policies.PRESETS if one.key == self.preset), None)


def _parse_minutes(text: str | None) -> int:
    hours, _colon, minutes = (text or "00:00").partition(":")
    return int(hours) * 60 + int(minutes)


def _texts(value: object) -> Sequence[str]:
    if isinstance(value, list | tuple):
        return [str(one) for one in value]
    return [] if value is None else [str(value)]
