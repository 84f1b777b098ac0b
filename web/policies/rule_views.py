"""The form of a policy rule: it is tried out, and saved.

A rule means what all its fields mean together. What somebody else has changed in a rule is
therefore shown even if the user left that field as it was. Changes of other rules do not matter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from core.http.request import open_reader
from models import PolicyRule
from services import policies
from services.audit import LastChange
from services.policies import ReferenceNames, SimulationResult
from web.policies.forms import (
    RuleForm,
    encode_window,
    list_edited_fields,
    list_expiry_choices,
    rule_form_values,
)
from web.policies.presenter import (
    describe_window,
    list_choices,
    list_deciders,
    list_effects,
    list_risks,
    list_weekdays,
)
from web.policies.views import (
    edit_policy,
    get_rule,
    load_scope,
    read_rule_id,
    simulate_edit,
    with_problem,
)
from web.ui import forms
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import check_edit
from web.ui.layout import load_layout
from web.ui.render import render_page
from web.ui.translation import pgettext


async def show_rule(request: Request) -> Response:
    """Show the form of a rule, or of a new one."""
    async with open_reader(request) as source:
        scope = await load_scope(request, source)
        detail = await policies.get_policy(source, scope.member.organization_id, scope.board)
    rule = get_rule(detail.rules, rule_id) if (rule_id := read_rule_id(request)) else None
    values = rule_form_values(rule, request.user.timezone or "UTC")
    return await _render_rule(request, forms.Form(values))


async def save_rule(request: Request) -> Response:
    """Save a rule, or try it out without saving."""
    form = await forms.read_form(request)
    with form.catch_errors(has_limit=True):
        rule_id, fields = read_rule_id(request), form.parse(RuleForm)
        policies.check_rules([fields.to_rule(rule_id, is_enabled=True)])
        is_try = form.value("action") == "try"

        def put_rule(rules: list[PolicyRule]) -> Sequence[PolicyRule]:
            if rule_id is None:
                return [*rules, fields.to_rule(None, is_enabled=True)]
            old = get_rule(rules, rule_id, field="name")
            new = fields.to_rule(rule_id, old.is_enabled)
            if not is_try:
                new = _merge_rule(form, old, new)
            return [new if rule is old else rule for rule in rules]

        if is_try:
            result = await simulate_edit(request, put_rule)
            return await _render_rule(request, form, result)
        return await edit_policy(request, form, put_rule, is_of_version=False)
    if form.conflicts:
        return await _render_conflict(request, form)
    return await _render_rule(request, _with_rule_errors(form))


def _merge_rule(form: forms.Form, old: PolicyRule, new: PolicyRule) -> PolicyRule:
    """Return the rule to save. Raises Conflict, and Invalid if the parts do not fit together."""
    fields = list_edited_fields(old)
    kept = check_edit(form, fields, {field.name for field in fields})
    [merged] = policies.check_rules([replace(new, **{name: getattr(old, name) for name in kept})])
    return merged


async def _render_conflict(request: Request, form: forms.Form) -> Response:
    """Render both versions of the fields that somebody else has changed."""
    async with open_reader(request) as source:
        scope = await load_scope(request, source)
        detail = await policies.get_policy(source, scope.member.organization_id, scope.board)
        references = await policies.load_reference_names(source, scope.member.organization_id)
    rule = get_rule(detail.rules, read_rule_id(request))
    assert detail.updated_at is not None
    about = ConflictContext(
        title=rule.name,
        back=f"{scope.path}/rules/{rule.id}",
        names=_list_value_names(form, rule, references),
        last_change=LastChange(detail.updated_at, detail.updated_by, detail.updated_by_user_id),
    )
    return await render_conflict(request, form, about)


def _list_value_names(
    form: forms.Form, rule: PolicyRule, references: ReferenceNames
) -> dict[str, dict[str, str]]:
    """Return the texts of the submitted and the current values of the fields that are chosen."""
    windows = (rule.time_window, form.parse(RuleForm).time_window)
    names: dict[str, dict[str, str]] = {
        "effect": {effect: label for effect, (label, *_rest) in list_effects().items()},
        "risk_at_least": dict(list_risks()),
        "risk_at_most": dict(list_risks()),
        "time_window": {encode_window(one): describe_window(one) for one in windows if one},
        "expires_after": dict(list_expiry_choices(form.value("expires_after"))),
        "decider_role": dict(list_deciders()),
        "requires_recent_sign_in": {
            "true": pgettext("state", "On"),
            "": pgettext("state", "Off"),
        },
    }
    if rule.expires_after:
        names["expires_after"] |= dict(list_expiry_choices(str(rule.expires_after)))
    for field, known in _list_references(references):
        chosen = [*form.selected(field), *map(str, getattr(rule, field))]
        names[field] = dict(list_choices(known, chosen))
    return names


def _list_references(references: ReferenceNames) -> Sequence[tuple[str, Mapping[UUID, str]]]:
    """Return the names of what rules refer to, by field."""
    return [
        ("agent_ids", references.agents),
        ("tag_ids", references.tags),
        ("decider_ids", references.users),
    ]


async def _render_rule(
    request: Request, form: forms.Form, result: SimulationResult | None = None
) -> Response:
    layout, rule_id = await load_layout(request), read_rule_id(request)
    async with open_reader(request) as source:
        scope = await load_scope(request, source)
        detail = await policies.get_policy(source, scope.member.organization_id, scope.board)
        references = await policies.load_reference_names(source, scope.member.organization_id)
    shown = [list_edited_fields(rule) for rule in detail.rules if rule.id == rule_id]
    return render_page(
        request,
        "policies/rule.html",
        layout=layout,
        status=form.status,
        form=form,
        scope=scope,
        shown={field.name: field.value for fields in shown for field in fields},
        choices={
            field: list_choices(known, form.selected(field))
            for field, known in _list_references(references)
        },
        rule_id=rule_id,
        effects=list_effects(),
        deciders=list_deciders(),
        risks=list_risks(),
        weekdays=list_weekdays(),
        expiry_choices=list_expiry_choices(form.value("expires_after")),
        time_zones=forms.list_time_zones(),
        result=result,
    )


def _with_rule_errors(form: forms.Form) -> forms.Form:
    """Show errors of the submitted rule, which is checked alone, beside its fields."""
    own = {name for name in form.errors if name.startswith("rules.0.")}
    found = {name.removeprefix("rules.0."): form.errors.pop(name) for name in own}
    if "time_window" in found:
        found["time_zone"] = found.pop("time_window")
    form.errors |= found
    return with_problem(form)
