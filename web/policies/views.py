"""Pages that show approval policies, and change the order and the state of their rules."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.db.reads import Source
from core.errors import Conflict, NotFound, PreconditionFailed
from core.http.request import Session, open_reader, open_transaction
from models import Board, Member, PolicyRule
from services import boards, organizations, policies
from services.policies import PolicyDetail, SimulationResult
from web.auth.viewer import current_member
from web.boards.forms import BOARD_RULES
from web.policies.forms import PresetForm
from web.policies.presenter import (
    build_rule_rows,
    list_effects,
    list_presets,
    translate_rule_names,
)
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.render import render_page
from web.ui.translation import _, translate

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
    """Replace all rules by those of a preset."""
    form = await forms.read_form(request)
    with form.catch_errors():
        preset = form.parse(PresetForm).find_preset()
        if preset is None:
            raise NotFound("preset_not_found", _("There is no such preset."), field="preset")
        rules = translate_rule_names(policies.build_preset_rules(preset))
        return await edit_policy(request, form, lambda _rules: rules)
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
                _("Somebody else changed the policy. Check it, then repeat your change."),
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
        names = await policies.load_reference_names(source, organization_id)
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
        presets=list_presets(),
        effects=list_effects(),
        result=result,
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
        raise NotFound("rule_not_found", _("This rule does not exist any more."), field=field)
    return rule


def read_rule_id(request: Request) -> UUID | None:
    """Return the id of the rule of the path, or None for a new one."""
    return request.path_params.get("rule_id")


def with_problem(form: forms.Form) -> forms.Form:
    """Show the first error of another rule or of the whole policy above the page."""
    others = [text for name, text in form.errors.items() if name.startswith(("rules", "preset"))]
    form.problem = form.problem or next(iter(others), "")
    return form
