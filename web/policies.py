"""Pages of approval policies: their rules, the form of a rule, and what a rule would decide."""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.db.reads import Source
from core.errors import Conflict, Invalid, NotFound, PreconditionFailed
from core.http.request import Session, open_reader, open_transaction
from models import (
    Board,
    Member,
    PolicyEffect,
    PolicyRule,
    RiskLevel,
    Role,
    ToolAction,
    WeeklyWindow,
    new_id,
)
from services import boards, organizations, policies
from services.audit import LastChange
from services.coding_sessions import CLIENT_NAMES
from services.pickers import PickerKind
from services.policies import (
    PolicyDetail,
    PolicyRuleFields,
    Proposal,
    ReferenceNames,
    SimulationResult,
)
from web.auth.viewer import current_member
from web.boards.forms import BOARD_RULES
from web.pickers import load_chosen, load_value_names
from web.ui import forms
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import EditedField, check_edit
from web.ui.layout import load_layout
from web.ui.object_forms import build_form_fields, list_edited_fields
from web.ui.render import render_page
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
RULE_PICKERS = {
    "agent_ids": PickerKind.AGENTS,
    "tag_ids": PickerKind.TAGS,
    "decider_ids": PickerKind.PEOPLE,
}
"""What the fields of a rule offer."""

EXPIRY_CHOICES = (3_600, 14_400, 86_400, 259_200, 604_800, 2_592_000)  # seconds


ACTIONS: Mapping[ToolAction, str] = {
    ToolAction.READ: N_("Read inside the project"),
    ToolAction.READ_OUTSIDE: N_("Read outside the project"),
    ToolAction.READ_SECRET: N_("Read keys and secrets"),
    ToolAction.WRITE_INSIDE: N_("Write inside the project"),
    ToolAction.WRITE_OUTSIDE: N_("Write outside the project"),
    ToolAction.WRITE_GIT: N_("Change the configuration or hooks of git"),
    ToolAction.WRITE_CLIENT_CONFIG: N_("Change the configuration of a client"),
    ToolAction.DELETE: N_("Delete"),
    ToolAction.NETWORK: N_("Use the network"),
    ToolAction.GIT_PUSH: N_("git push"),
    ToolAction.INSTALL: N_("Install packages"),
    ToolAction.RUN: N_("Run a program with an unknown effect"),
    ToolAction.RUN_CODE: N_("Run code that is in the command"),
    ToolAction.OWN_TOOL: N_("Use a tool of Mission Control"),
    ToolAction.OTHER_TOOL: N_("Use a tool of another MCP server"),
}
"""What a tool call does, as conditions name it."""
LINE_LISTS = ("kinds", "tools", "commands", "paths", "hosts")
"""The conditions with one value on each line of a text."""
PROPOSED_FIELDS = ("name", "effect", "tools", "actions", "commands", "paths", "hosts", "before")


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
    """Return after how long a request expires, in the largest unit that divides it: "4 hours"."""
    if seconds % 86_400 == 0:
        return ngettext("%(num)d day", "%(num)d days", seconds // 86_400)
    if seconds % 3_600 == 0:
        return ngettext("%(num)d hour", "%(num)d hours", seconds // 3_600)
    if seconds % 60 == 0:
        return ngettext("%(num)d minute", "%(num)d minutes", seconds // 60)
    return ngettext("%(num)d second", "%(num)d seconds", seconds)


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
    clients = [CLIENT_NAMES[one] for one in rule.clients]
    least, most = risks.get(rule.risk_at_least or ""), risks.get(rule.risk_at_most or "")
    lines = (
        (rule.kinds, _("Kind: %(kinds)s", kinds=_join(rule.kinds))),
        (rule.agent_ids, _("Agent: %(names)s", names=_named(rule.agent_ids, names.agents))),
        (rule.risk_at_least, _("Risk: %(risk)s or higher", risk=least)),
        (rule.risk_at_most, _("Risk: %(risk)s or lower", risk=most)),
        (below, _("Confidence: below %(number)g", number=below or 0)),
        (rule.tag_ids, _("Tag: %(names)s", names=_named(rule.tag_ids, names.tags))),
        (rule.time_window, _("Time: %(window)s", window=describe_window(rule.time_window))),
        (
            rule.clients,
            _("Client: %(names)s", names=_join(clients)),
        ),
        (rule.tools, _("Tool: %(names)s", names=_join(rule.tools))),
        (rule.actions, _("Does: %(actions)s", actions=describe_actions(rule.actions))),
        (rule.commands, _("Command: %(commands)s", commands=" · ".join(rule.commands))),
        (rule.paths, _("Path: %(paths)s", paths=_join(rule.paths))),
        (rule.hosts, _("Host: %(hosts)s", hosts=_join(rule.hosts))),
    )
    return [text for condition, text in lines if condition]


def describe_actions(actions: Collection[ToolAction]) -> str:
    """Return what calls do, or that they may do anything."""
    if len(set(actions)) == len(ToolAction):
        return _("anything")
    return _join([translate(ACTIONS[one]) for one in actions])


def _consequences(rule: PolicyRule, names: ReferenceNames) -> Sequence[str]:
    if rule.effect in (PolicyEffect.ALLOW, PolicyEffect.DENY):
        return []
    deciders = _named(rule.decider_ids, names.users) or translate(DECIDERS[rule.decider_role])
    lines = [_("Decided by: %(deciders)s", deciders=deciders)]
    if rule.requires_recent_sign_in:
        lines.append(_("Deciders must have signed in within the last 15 minutes"))
    if rule.expires_after:
        expiry = describe_expiry(rule.expires_after)
        lines.append(_("Rejected automatically after %(time)s", time=expiry))
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


RuleEdit = Callable[[list[PolicyRule]], Sequence[PolicyRule]]


@dataclass(frozen=True)
class PolicyScope:
    """The board whose policy a page is about, or the organization if there is none."""

    member: Member
    board: Board | None

    @property
    def path(self) -> str:
        """The address of the page."""
        return f"/boards/{self.board.id}/policy" if self.board else "/settings/policy"


async def show_policy(request: Request) -> Response:
    """Show the rules; with `?try=1` also what they would have done in the last days."""
    return await _render_policy(request, forms.Form())


async def move_rule(request: Request) -> Response:
    """Move a rule one place up or down."""
    form = await forms.read_form(request)
    with form.catch_errors():

        def swap(rules: list[PolicyRule]) -> Sequence[PolicyRule]:
            place = rules.index(get_rule(rules, read_rule_id(request)))
            other = max(0, min(len(rules) - 1, place + (1 if form.value("to") == "down" else -1)))
            rules[place], rules[other] = rules[other], rules[place]
            return rules

        return await edit_policy(request, form, swap)
    return await _render_policy(request, form)


async def switch_rule(request: Request) -> Response:
    """Enable or disable a rule."""
    form = await forms.read_form(request)
    with form.catch_errors():

        def switch(rules: list[PolicyRule]) -> Sequence[PolicyRule]:
            switched = get_rule(rules, read_rule_id(request))
            is_enabled = form.value("to") == "on"
            return [
                replace(rule, is_enabled=is_enabled) if rule is switched else rule for rule in rules
            ]

        return await edit_policy(request, form, switch)
    return await _render_policy(request, form)


async def delete_rule(request: Request) -> Response:
    """Delete a rule."""
    form = await forms.read_form(request)
    with form.catch_errors():

        def remove(rules: list[PolicyRule]) -> Sequence[PolicyRule]:
            removed = get_rule(rules, read_rule_id(request))
            return [rule for rule in rules if rule is not removed]

        return await edit_policy(request, form, remove)
    return await _render_policy(request, form)


async def use_preset(request: Request) -> Response:
    """Replace all rules by those of a preset; one for coding agents is added to them."""
    form = await forms.read_form(request)
    with form.catch_errors():
        key = form.value("preset")
        preset = next((one for one in policies.PRESETS if one.key == key), None)
        if preset is None:
            raise NotFound("preset_not_found", N_("There is no such preset."), field="preset")
        added = [replace(one, id=new_id(), name=translate(one.name)) for one in preset.rules]
        edit = partial(policies.apply_preset, preset, added)
        return await edit_policy(request, form, edit)
    return await _render_policy(request, form)


async def edit_policy(
    request: Request, form: forms.Form, edit: RuleEdit, *, is_of_version: bool = True
) -> Response:
    """Store the edited rules; with `is_of_version` only of the version that the form shows."""
    async with open_transaction(request) as session:
        scope = await _lock_scope(request, session)
        detail = await policies.get_policy(session, scope.member.organization_id, scope.board)
        known = {forms.parse_number(form.value("version"))} if is_of_version else None
        try:
            await policies.replace_policy(
                session, scope.member, scope.board, edit(list(detail.rules)), known
            )
        except PreconditionFailed:
            raise Conflict(
                "policy_changed",
                N_("Somebody else changed the policy. Check it, then repeat your change."),
            ) from None
    return RedirectResponse(scope.path, 303)


async def simulate_edit(request: Request, edit: RuleEdit) -> SimulationResult:
    """Return what the edited rules would have done with the requests of the last days."""
    async with open_transaction(request) as session:
        scope = await load_scope(request, session)
        detail = await policies.get_policy(session, scope.member.organization_id, scope.board)
        rules = edit(list(detail.rules))
        return await policies.simulate_policy(session, scope.member, scope.board, rules)


async def _render_policy(request: Request, form: forms.Form) -> Response:
    layout = await load_layout(request)
    result = None
    if request.query_params.get("try"):
        with form.catch_errors(beside="try", has_limit=True):
            result = await simulate_edit(request, list)
    async with open_reader(request) as source:
        scope = await load_scope(request, source)
        organization_id = scope.member.organization_id
        detail = await policies.get_policy(source, organization_id, scope.board)
        inherited = (
            await policies.get_policy(source, organization_id, None)
            if scope.board
            else PolicyDetail()
        )
        rules = [*detail.rules, *inherited.rules]
        names = await policies.load_reference_names(source, organization_id, rules)
    return render_page(
        request,
        "policies/show.html",
        layout=layout,
        status=form.status,
        form=with_problem(form),
        scope=scope,
        detail=detail,
        rows=build_rule_rows(detail.rules, names),
        inherited_rows=build_rule_rows(inherited.rules, names),
        board_rules=[(name, *map(translate, texts)) for name, *texts in BOARD_RULES],
        presets=[
            (is_for_tools, [(one.key, translate(one.name), translate(one.about)) for one in group])
            for is_for_tools, group in groupby(policies.PRESETS, attrgetter("is_for_tools"))
        ],
        effects=list_effects(),
        result=result,
        proposals=_list_proposals(scope, result),
    )


async def load_scope(request: Request, source: Source) -> PolicyScope:
    """Return the scope of the page for an admin. Raises NotFound or Forbidden."""
    if "board_id" not in request.path_params:
        return _build_scope(current_member(request), None)
    member, board_id = current_member(request), forms.path_id(request, "board_id")
    return _build_scope(member, await boards.get_board(source, member, board_id))


async def _lock_scope(request: Request, session: Session) -> PolicyScope:
    """Lock the board of the page, if there is one, and return the scope."""
    if "board_id" not in request.path_params:
        return _build_scope(current_member(request), None)
    member, board_id = current_member(request), forms.path_id(request, "board_id")
    return _build_scope(member, await boards.lock_board_as_admin(session, member, board_id))


def _build_scope(member: Member, board: Board | None) -> PolicyScope:
    organizations.require_admin(member)
    return PolicyScope(member, board)


def get_rule(
    rules: Sequence[PolicyRule], rule_id: UUID | None, field: str | None = None
) -> PolicyRule:
    """Return a rule. Raises NotFound, about a field of the form if there is one."""
    rule = next((rule for rule in rules if rule.id == rule_id), None)
    if rule is None:
        raise NotFound("rule_not_found", N_("This rule does not exist any more."), field=field)
    return rule


def read_rule_id(request: Request) -> UUID | None:
    """Return the id of the rule of the path, or None for a new one."""
    return request.path_params.get("rule_id")


def with_problem(form: forms.Form) -> forms.Form:
    """Show the first error of another rule or of the whole policy above the page."""
    others = [text for name, text in form.errors.items() if name.startswith(("rules", "preset"))]
    form.problem = form.problem or next(iter(others), "")
    return form


CLOCK_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


def _parse_clock_time(text: str) -> int:
    """Return the minutes after midnight; 0 for a blank field."""
    if not text.strip():
        return 0
    if not CLOCK_TIME.fullmatch(text):
        raise ValueError(_("Write a time like 14:30."))
    return int(text[:2]) * 60 + int(text[3:])


ClockTime = Annotated[int, BeforeValidator(_parse_clock_time)]


class WindowForm(BaseModel):
    """The time of a rule; it has one if a time or a weekday was submitted."""

    starts_at: ClockTime = 0
    ends_at: ClockTime = 0
    weekdays: list[Annotated[int, Field(ge=0, le=6)]] = []
    time_zone: forms.OptionalLine = None


def _read_window(form: forms.Form) -> WeeklyWindow | None:
    if not (form.value("starts_at") or form.value("ends_at") or form.selected("weekdays")):
        return None
    window = form.parse(WindowForm)
    return WeeklyWindow(
        time_zone=window.time_zone or "UTC",
        starts_at=window.starts_at,
        ends_at=window.ends_at,
        weekdays=tuple(window.weekdays),
    )


def _read_rule(form: forms.Form) -> PolicyRuleFields:
    """Parse the form of a rule. Some conditions have one value on each line."""
    lines = {
        name: [line.strip() for line in form.value(name).splitlines() if line.strip()]
        for name in LINE_LISTS
    }
    window, wrong = None, None
    try:
        window = _read_window(form)
    except Invalid as error:  # the errors of its fields are kept
        wrong = error
    given = {**lines, "time_window": vars(window) if window else None}
    rule = form.parse(PolicyRuleFields, given)
    if wrong:
        raise wrong
    return rule


def _list_rule_fields(rule: PolicyRule) -> list[EditedField]:
    """Return the current values of a rule as its form shows them."""
    values = {name: "\n".join(getattr(rule, name)) for name in LINE_LISTS}
    values["time_window"] = encode_window(rule.time_window)
    return [
        one._replace(submitted=lambda form: encode_window(_read_window(form)))
        if one.name == "time_window"
        else one
        for one in list_edited_fields(PolicyRuleFields, rule, values)
    ]


def encode_window(window: WeeklyWindow | None) -> str:
    """Return a window as a text to compare, or ""."""
    if window is None:
        return ""
    return json.dumps(window.to_json() | {"weekdays": sorted(window.weekdays)}, sort_keys=True)


async def show_rule(request: Request) -> Response:
    """Show the form of a rule, or of a new one, which can be proposed by a link."""
    given = {name: request.query_params.getlist(name) for name in PROPOSED_FIELDS}
    proposed = {name: values for name, values in given.items() if values}
    is_new = read_rule_id(request) is None
    return await _render_rule(request, forms.Form(proposed if is_new and proposed else None))


def build_proposal_path(scope_path: str, proposal: Proposal) -> str:
    """Return the address of the form with a proposed rule."""
    rule = proposal.rule
    texts = {name: "\n".join(getattr(rule, name)) for name in LINE_LISTS if getattr(rule, name)}
    values = {"name": rule.name, "effect": rule.effect, **texts, "actions": list(rule.actions)}
    if proposal.before:
        values["before"] = str(proposal.before.id)
    return f"{scope_path}/rules/new?{urlencode(values, doseq=True, errors='replace')}"


async def save_rule(request: Request) -> Response:
    """Save a rule, or try it out without saving."""
    form = await forms.read_form(request)
    with form.catch_errors(has_limit=True):
        rule_id, submitted = read_rule_id(request), _read_rule(form).to_rule()
        policies.check_rules([submitted])
        is_try = form.value("action") == "try"

        def put_rule(rules: list[PolicyRule]) -> Sequence[PolicyRule]:
            if rule_id is None:
                before = form.value("before")
                places = [number for number, one in enumerate(rules) if str(one.id) == before]
                rules.insert(places[0] if places else len(rules), submitted)
                return rules
            old = get_rule(rules, rule_id, field="name")
            new = replace(submitted, id=rule_id, is_enabled=old.is_enabled)
            if not is_try:
                fields = _list_rule_fields(old)
                kept = check_edit(form, fields, {field.name for field in fields})
                merged = replace(new, **{name: getattr(old, name) for name in kept})
                [new] = policies.check_rules([merged])
            return [new if rule is old else rule for rule in rules]

        if is_try:
            result = await simulate_edit(request, put_rule)
            return await _render_rule(request, form, result)
        return await edit_policy(request, form, put_rule, is_of_version=False)
    if form.conflicts:
        return await _render_conflict(request, form)
    return await _render_rule(request, _with_rule_errors(form))


async def _render_conflict(request: Request, form: forms.Form) -> Response:
    """Render both versions of the fields that somebody else has changed."""
    async with open_reader(request) as source:
        scope = await load_scope(request, source)
        detail = await policies.get_policy(source, scope.member.organization_id, scope.board)
        rule = get_rule(detail.rules, read_rule_id(request))
        references = {
            field: await load_value_names(
                source, scope.member, kind, [*form.selected(field), *getattr(rule, field)]
            )
            for field, kind in RULE_PICKERS.items()
        }
    assert detail.updated_at is not None
    about = ConflictContext(
        title=rule.name,
        back=f"{scope.path}/rules/{rule.id}",
        names=_list_value_names(form, rule) | references,
        last_change=LastChange(detail.updated_at, detail.updated_by, detail.updated_by_user_id),
    )
    return await render_conflict(request, form, about)


def _list_value_names(form: forms.Form, rule: PolicyRule) -> dict[str, dict[str, str]]:
    """Return the texts of the submitted and the current values of fields with fixed options."""
    windows = (rule.time_window, _read_window(form))
    return {
        "effect": {effect: label for effect, (label, *_rest) in list_effects().items()},
        "risk_at_least": dict(list_risks()),
        "risk_at_most": dict(list_risks()),
        "time_window": {encode_window(one): describe_window(one) for one in windows if one},
        "expires_after": dict(
            [
                *list_expiry_choices(forms.parse_number(form.value("expires_after"))),
                *list_expiry_choices(rule.expires_after),
            ]
        ),
        "decider_role": dict(list_deciders()),
        "clients": {str(one): name for one, name in CLIENT_NAMES.items()},
        "actions": {str(one): translate(label) for one, label in ACTIONS.items()},
        "requires_recent_sign_in": {
            "true": pgettext("state", "On"),
            "": pgettext("state", "Off"),
        },
    }


async def _render_rule(
    request: Request, form: forms.Form, result: SimulationResult | None = None
) -> Response:
    layout, rule_id = await load_layout(request), read_rule_id(request)
    async with open_reader(request) as source:
        scope = await load_scope(request, source)
        detail = await policies.get_policy(source, scope.member.organization_id, scope.board)
        rule = next((one for one in detail.rules if one.id == rule_id), None)
        chosen = {
            field: await load_chosen(
                source, scope.member, kind, field, form, getattr(rule, field) if rule else ()
            )
            for field, kind in RULE_PICKERS.items()
        }
    if rule_id and not form.is_submitted:
        get_rule(detail.rules, rule_id)  # what was typed is kept if the rule was deleted since
    edited = _list_rule_fields(rule) if rule else []
    fields = build_form_fields(form, PolicyRuleFields, edited)
    for name in LINE_LISTS:
        text = form.value(name, "\n".join(getattr(rule, name)) if rule else "")
        fields[name] = fields[name]._replace(value=text)
    if rule is None and not form.is_submitted:
        fields["effect"] = fields["effect"]._replace(value=PolicyEffect.ASK_ONE)
    return render_page(
        request,
        "policies/rule.html",
        layout=layout,
        status=form.status,
        form=form,
        fields=fields,
        scope=scope,
        shown={field.name: field.value for field in edited},
        chosen=chosen,
        window=_build_window_values(rule, request.user.timezone or "UTC"),
        rule_id=rule_id,
        effects=list_effects(),
        deciders=list_deciders(),
        risks=list_risks(),
        weekdays=list_weekdays(),
        expiry_choices=list_expiry_choices(forms.parse_number(fields["expires_after"].value)),
        time_zones=forms.list_time_zones(),
        clients=list(CLIENT_NAMES.items()),
        actions=[(action, translate(label)) for action, label in ACTIONS.items()],
        result=result,
        proposals=[],
    )


def _list_proposals(
    scope: PolicyScope, result: SimulationResult | None
) -> list[tuple[Proposal, str]]:
    """Return the proposed rules, each with the address of the form with it."""
    found = result.calls.proposals if result else ()
    return [(one, build_proposal_path(scope.path, one)) for one in found]


def _build_window_values(rule: PolicyRule | None, time_zone: str) -> dict[str, Any]:
    """Return the values of the fields of the time of a rule before the form is submitted."""
    window = rule.time_window if rule else None
    if window is None:
        return {"starts_at": "", "ends_at": "", "weekdays": [], "time_zone": time_zone}
    has_end = window.ends_at or not window.starts_at
    return {
        "starts_at": format_minutes(window.starts_at),
        "ends_at": format_minutes(window.ends_at) if has_end else "",
        "weekdays": window.weekdays,
        "time_zone": window.time_zone,
    }


def _with_rule_errors(form: forms.Form) -> forms.Form:
    """Show errors of the submitted rule, which is checked alone, beside its fields."""
    own = {name for name in form.errors if name.startswith("rules.0.")}
    found = {name.removeprefix("rules.0."): form.errors.pop(name) for name in own}
    if "time_window" in found:
        found["time_zone"] = found.pop("time_window")
    form.errors |= found
    return with_problem(form)
