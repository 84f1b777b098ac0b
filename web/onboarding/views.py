"""Pages of a board's onboarding: interview, review of the draft, launch of the lead."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, model_validator
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.db.reads import Source
from core.fields import BlankToNone, Label, list_labels
from core.http.request import get_settings, open_reader, open_transaction
from models import User
from services import onboarding
from services.onboarding import (
    AnswerOption,
    ExpectedState,
    OnboardingGoal,
    OnboardingLead,
    OnboardingPreview,
    OnboardingProfile,
    is_free_text,
)
from web.agents.presenter import format_clock, format_duration
from web.auth.viewer import current_member
from web.boards.forms import (
    BLANK_ROWS,
    MIDNIGHT,
    format_date_field,
    parse_metrics,
    read_metric_rows,
)
from web.boards.views import board_for_update
from web.onboarding.presenter import (
    LEAD_OPTIONS,
    build_preview_context,
    get_mapping,
    list_lead_options,
    parse_draft_date,
)
from web.onboarding.state import (
    OnboardingState,
    conversation_draft,
    load_launch_context,
    load_onboarding_state,
)
from web.ui import forms
from web.ui.edited_fields import EditedField
from web.ui.layout import load_layout
from web.ui.object_forms import build_form_fields, list_edited_fields
from web.ui.posted_forms import allow_repetition
from web.ui.render import is_part_request, render_page, render_part, retarget
from web.ui.text_display import format_value
from web.ui.time_format import combine_local, get_time_zone
from web.ui.translation import N_, _, translate

OWN_ANSWER = "own"  # option of the page: an answer in own words
AnswerCommand = Callable[..., Awaitable[onboarding.Conversation]]


class OnboardingAnswerForm(BaseModel):
    """An answer to one question: selected options and typed text."""

    question: UUID
    choice: list[str] = []
    other: forms.OptionalText = None

    @property
    def selected(self) -> list[str]:
        """Return the selected options of the agent."""
        return [one.strip() for one in self.choice if one.strip() and one != OWN_ANSWER]

    @property
    def typed_text(self) -> str | None:
        """Return the typed text, unless its field was closed again."""
        open_now = (
            not self.choice or OWN_ANSWER in self.choice or any(map(is_free_text, self.choice))
        )
        return self.other if open_now else None

    @model_validator(mode="after")
    def _require_answer(self) -> "OnboardingAnswerForm":
        if self.typed_text:
            return self
        if any(map(is_free_text, self.selected)):
            raise ValueError(_("Enter your answer."))
        if not self.selected:
            raise ValueError(_("Choose an answer, or enter your own."))
        return self

    def to_answer(self) -> tuple[str, str | None]:
        """Return the answer and its additional text, as `onboarding.answer_question` takes them.

        An option that only opens the text field is left out if text was typed.
        """
        chosen = [one for one in self.selected if not (self.typed_text and is_free_text(one))]
        if not chosen:
            return self.typed_text or "", None
        return ", ".join(chosen), self.typed_text


class ContextForm(BaseModel):
    """Additional context for the agent."""

    context: forms.Text


def split_answer(answer: str, options: Sequence[AnswerOption]) -> tuple[list[str], str]:
    """Split a given answer into its selected options and typed text."""
    labels = sorted((one.label for one in options), key=lambda one: (answer.find(one), -len(one)))
    ticked, rest = [], answer
    for label in labels:
        if rest.startswith(label) and rest[len(label) :][:1] in ("", ",", ":"):
            ticked.append(label)
            rest = rest[len(label) :].lstrip(", ")
    typed = rest.lstrip(": ")
    if typed:
        ticked += [one.label for one in options if one.is_free_text][:1] or [OWN_ANSWER]
    return ticked, typed


async def show_onboarding(request: Request) -> Response:
    """Show the onboarding of a board; for htmx only the conversation."""
    return await render_onboarding(request, forms.Form())


async def start_onboarding(request: Request) -> Response:
    """Start the interview, or continue an open one."""
    async with open_transaction(request) as session:
        board = await board_for_update(request, session)
        base_url = get_settings(request).base_url
        await onboarding.start_onboarding(session, request.user, board, base_url=base_url)
    return await _continue(request)


async def answer_question(request: Request) -> Response:
    """Answer the open question."""
    return await _submit_answer(request, onboarding.answer_question, "answer")


async def correct_answer(request: Request) -> Response:
    """Correct an earlier answer."""
    return await _submit_answer(request, onboarding.correct_answer, "change")


async def remind_agent(request: Request) -> Response:
    """Remind the agent of the open request."""
    async with open_transaction(request) as session:
        board = await board_for_update(request, session)
        base_url = get_settings(request).base_url
        await onboarding.remind_agent(session, request.user, board, base_url=base_url)
    return await _continue(request)


async def restart_onboarding(request: Request) -> Response:
    """Start again. The earlier conversation is kept."""
    async with open_transaction(request) as session:
        board = await board_for_update(request, session)
        base_url = get_settings(request).base_url
        await onboarding.restart_onboarding(session, request.user, board, base_url=base_url)
    return RedirectResponse(_onboarding_path(board.id), 303)


async def end_onboarding(request: Request) -> Response:
    """Cancel the onboarding, and redirect to the unchanged board."""
    async with open_transaction(request) as session:
        board = await board_for_update(request, session)
        await onboarding.cancel_onboarding(session, request.user, board)
    return RedirectResponse(f"/boards/{board.id}", 303)


async def render_onboarding(request: Request, form: forms.Form, *, acted: bool = False) -> Response:
    """Render the onboarding with a form and its errors; `acted` follows an action of the user."""
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        state = await _load_state(request, source)
    context = {"state": state, "form": form, "acted": acted, **CONVERSATION_FUNCTIONS}
    if layout is None:
        return render_part(
            request, "onboarding/_conversation.html", form.status, apart=True, **context
        )
    return render_page(
        request,
        "onboarding/show.html",
        layout=layout,
        board_id=state.board.id,
        status=form.status,
        asks_again="again" in request.query_params,
        **_build_form_context(request.user, state, forms.Form()),
        **context,
    )


CONVERSATION_FUNCTIONS: dict[str, Any] = {
    "OWN_ANSWER": OWN_ANSWER,
    "split_answer": split_answer,
    "format_clock": format_clock,
    "format_seconds": lambda seconds: format_duration(timedelta(seconds=seconds)),
}
"""Functions that the conversation templates call."""


async def _load_state(request: Request, source: Source) -> OnboardingState:
    board_id = forms.path_id(request, "board_id")
    return await load_onboarding_state(source, current_member(request), board_id)


async def _submit_answer(request: Request, command: AnswerCommand, editor: str) -> Response:
    """Submit an answer; a rejected form is shown again in its editor."""
    form = await forms.read_form(request)
    with form.catch_errors():
        fields = form.parse(OnboardingAnswerForm)
        text, other = fields.to_answer()
        async with open_transaction(request) as session:
            board = await board_for_update(request, session)
            await command(
                session, request.user, board, text, other=other, question_id=fields.question
            )
        return await _continue(request)
    return await _render_invalid_answer(request, form, editor)


async def _continue(request: Request) -> Response:
    """Show the onboarding after an action."""
    if is_part_request(request):
        return await render_onboarding(request, forms.Form(), acted=True)
    board_id = forms.path_id(request, "board_id")
    return RedirectResponse(_onboarding_path(board_id), 303)


async def _render_invalid_answer(request: Request, form: forms.Form, editor: str) -> Response:
    """Render a rejected answer without touching other text that is being typed.

    The answer to a question that is no longer open comes back as a correction of the given answer.
    """
    response = await render_onboarding(request, form)
    question_id = forms.parse_id(form.value("question"))
    if not is_part_request(request) or question_id is None:
        return response
    if form.status == 422:
        retarget(response, f"#{editor}-{question_id}")
    else:
        response.headers["HX-Reswap"] = "outerHTML"  # morphing would not open the editor
    return response


def _onboarding_path(board_id: UUID) -> str:
    return f"/boards/{board_id}/onboarding"


async def show_launch(request: Request) -> Response:
    """Show the progress of the lead; for htmx only that."""
    return await render_launch(request)


async def render_launch(
    request: Request, *, token: str | None = None, is_too_late: bool = False
) -> Response:
    """Render the progress of the lead, and its token if it was just created.

    `is_too_late`: another user had confirmed the goal before.
    """
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        state = await _load_state(request, source)
        context = await load_launch_context(
            source, current_member(request), get_settings(request), state, token
        )
    if not state.is_confirmed:
        return RedirectResponse(f"/boards/{state.board.id}/onboarding", 303)
    if layout is None:
        is_external = context["card"] is not None and context["launch"] is None
        part = "agents/_first_call_status.html" if is_external else "onboarding/_lead_progress.html"
        return render_part(request, part, **context)
    return render_page(
        request,
        "onboarding/launch.html",
        layout=layout,
        board_id=state.board.id,
        status=409 if is_too_late else 200,
        is_too_late=is_too_late,
        **context,
    )


class GoalForm(OnboardingProfile, OnboardingLead, OnboardingGoal):
    """The goal of a board, its lead, and the user profile that agents read, in one form."""

    board_type: Annotated[Literal["goal", "general"], Label(N_("Kind of board"))] = "goal"  # ty: ignore[incompatible-mutable-override]
    target_date: Annotated[date | None, Label(N_("Target date"))] = None  # ty: ignore[incompatible-attribute-override]
    role: Annotated[forms.OptionalLine, Label(N_("Role"))] = None
    communication_style: Annotated[forms.OptionalLine, Label(N_("Style"))] = None
    timezone: Annotated[forms.TimeZoneName, Label(N_("Time zone"))] = None


class SeenForm(BaseModel):
    """The conversation that the page showed, and whether it was open."""

    last: Annotated[UUID | None, BlankToNone] = None
    was_open: forms.Switch = False


def _parse_goal(
    form: forms.Form, user: User, state: OnboardingState
) -> tuple[OnboardingGoal, ExpectedState]:
    """Return the submitted goal, and the conversation that the user has seen.

    Values that the form does not contain come from the draft. The profile of an existing lead is
    kept.
    """
    seen = form.parse(SeenForm)
    zone, draft = get_time_zone(user.timezone), conversation_draft(state.conversation)
    metrics = parse_metrics(read_metric_rows(form), get_mapping(draft, "success_metrics"))
    fields = form.parse(GoalForm, {"success_metrics": metrics})
    lead: Any = {"identity_profile": state.lead and state.lead.identity_profile}
    if not state.lead:
        lead = {name: getattr(fields, name) for name in OnboardingLead.model_fields}
        known = get_mapping(get_mapping(draft, "lead_agent"), "identity_profile")
        profile = fields.model_dump(include={"role", "communication_style"}, exclude_none=True)
        lead["identity_profile"] = {**known, **profile}
    goal = OnboardingGoal.parse(
        {
            "board_type": fields.board_type,
            "objective": fields.objective,
            "success_metrics": metrics,
            "target_date": combine_local(fields.target_date, MIDNIGHT, zone),
            "lead_agent": OnboardingLead.model_construct(**lead),
            "user_profile": OnboardingProfile.model_construct(
                **{name: getattr(fields, name) for name in OnboardingProfile.model_fields}
            ),
        }
    )
    return goal, ExpectedState(seen.last, seen.was_open)


def _list_goal_values(state: OnboardingState, user: User) -> list[EditedField]:
    """Return the values of the form before it is submitted: of the draft, or else as stored."""
    zone, draft, board = get_time_zone(user.timezone), state.draft, state.board
    lead, profile = get_mapping(draft, "lead_agent"), get_mapping(draft, "user_profile")
    identity = get_mapping(lead, "identity_profile")
    day = parse_draft_date(draft.get("target_date"), zone)
    shown: dict[str, object] = {
        "board_type": draft.get("board_type") or board.board_type,
        "objective": draft.get("objective") or board.objective,
        "success_metrics": None,  # metric_rows
        "target_date": day or format_date_field(board.target_date, zone),
        "name": lead.get("name"),
        "role": identity.get("role"),
        "communication_style": identity.get("communication_style"),
        "custom_instructions": lead.get("custom_instructions"),
        **{name: lead.get(name) or identity.get(name) for name in LEAD_OPTIONS},
        **{
            name: profile.get(name) or getattr(user, name)
            for name in OnboardingProfile.model_fields
        },
    }
    texts = {
        name: value.isoformat() if isinstance(value, date) else format_value(value)
        for name, value in shown.items()
        if value is not None
    }
    return list_edited_fields(GoalForm, None, dict.fromkeys(shown, "") | texts)


def _list_metric_rows(form: forms.Form, state: OnboardingState) -> list[tuple[str, str]]:
    """Return the metric rows as submitted, drafted or stored, with blank rows at the end."""
    if form.is_submitted:
        known = [row for row in read_metric_rows(form) if any(row)]
    else:
        metrics = get_mapping(state.draft, "success_metrics") or state.board.success_metrics or {}
        known = [(name, format_value(value)) for name, value in metrics.items()]
    return known + [("", "")] * BLANK_ROWS


def _build_form_context(user: User, state: OnboardingState, form: forms.Form) -> dict[str, Any]:
    """Return the template context of the goal form."""
    return {
        "goal_form": form,
        "fields": build_form_fields(form, GoalForm, _list_goal_values(state, user)),
        "metric_rows": _list_metric_rows(form, state),
        "lead_options": list_lead_options(),
        "time_zones": forms.list_time_zones(),
    }


def _build_prefilled_form(user: User, state: OnboardingState) -> forms.Form:
    """Return the form filled with the draft, or else with the stored values."""
    names, targets = zip(*_list_metric_rows(forms.Form(), state), strict=True)
    values = {one.name: [str(one.value)] for one in _list_goal_values(state, user)}
    values |= {"last": [state.conversation_id]} | ({"was_open": ["on"]} if state.is_open else {})
    return forms.Form({**values, "measure": list(names), "target": list(targets)})


async def show_review(request: Request) -> Response:
    """Show the draft as a form; after a POST the preview of the submitted values."""
    allow_repetition(request)
    form = forms.Form() if request.method == "GET" else await forms.read_form(request)
    return await _render_review(request, form)


async def show_updates(request: Request) -> Response:
    """Show whether the onboarding has changed since the page was opened."""
    async with open_reader(request) as source:
        state = await _load_state(request, source)
        is_own = await onboarding.was_confirmed_by(source, request.user, state.board)
    version = request.query_params.get("seen", "")
    context: dict[str, Any] = {"state": state, "known_version": version, "is_own_launch": is_own}
    return render_part(request, "onboarding/_update_notice.html", **context)


async def add_context(request: Request) -> Response:
    """Send additional context to the agent, which then writes a new draft."""
    form = await forms.read_form(request)
    with form.catch_errors():
        fields = form.parse(ContextForm)
        async with open_transaction(request) as session:
            board = await board_for_update(request, session)
            await onboarding.answer_question(
                session, request.user, board, onboarding.ADDITIONAL_CONTEXT, other=fields.context
            )
        return RedirectResponse(f"/boards/{board.id}/onboarding", 303)
    return await _render_review(request, forms.Form(), context_form=form)


async def confirm_goal(request: Request) -> Response:
    """Confirm the goal of the board, and launch its lead."""
    form = await forms.read_form(request)
    with form.catch_errors():
        async with open_transaction(request) as session:
            board = await board_for_update(request, session)
            state = await _load_state(request, session)
            goal, expected = _parse_goal(form, request.user, state)
            confirmed = await onboarding.confirm_without_agent(
                session, request.user, board, goal, expected=expected
            )
        if confirmed.lead is not None and confirmed.token is not None:
            return await render_launch(request, token=confirmed.token)
        return RedirectResponse(f"/boards/{confirmed.board.id}/onboarding/launch", 303)
    if form.status == 409:
        async with open_reader(request) as source:
            state = await _load_state(request, source)
        if state.is_confirmed:
            return await render_launch(request, is_too_late=True)
    return await _render_review(request, form)


async def _render_review(
    request: Request, typed: forms.Form, *, context_form: forms.Form | None = None
) -> Response:
    """Render the review with the submitted or drafted values, and their preview."""
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        state = await _load_state(request, source)
        form = typed if typed.is_submitted else _build_prefilled_form(request.user, state)
        preview = await _load_preview(request, source, state, form)
    context: dict[str, Any] = {"state": state, "preview": preview}
    if preview:
        context |= build_preview_context(preview)
    else:
        labels = {name: translate(label.text) for name, label in list_labels(GoalForm).items()}
        labels["identity_profile"] = labels["custom_instructions"]
        errors = [(label, form.error(name)) for name, label in labels.items() if form.error(name)]
        context |= {"errors": errors, "problem": form.problem}
    if layout is None:
        return render_part(request, "onboarding/_preview.html", **context)
    context_form = context_form or forms.Form()
    return render_page(
        request,
        "onboarding/review.html",
        layout=layout,
        board_id=state.board.id,
        status=max(typed.status, context_form.status),
        context_form=context_form,
        **context,
        **_build_form_context(request.user, state, form),
    )


async def _load_preview(
    request: Request, source: Source, state: OnboardingState, form: forms.Form
) -> OnboardingPreview | None:
    """Preview the submitted goal, or return None while the form has errors."""
    if form.errors or form.problem:
        return None
    with form.catch_errors():
        goal, _expected = _parse_goal(form, request.user, state)
        base_url = get_settings(request).base_url
        return await onboarding.preview_goal(
            source, request.user, state.board, goal, base_url=base_url
        )
    return None
