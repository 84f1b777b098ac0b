"""Pages of a board's onboarding: interview, review of the draft, launch of the lead."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.db.reads import Source
from core.http.request import Session, get_settings, open_reader, open_transaction
from services import onboarding
from services.onboarding import ConfirmedBoard, OnboardingPreview
from web.agents.presenter import format_clock, format_duration
from web.auth.viewer import current_member
from web.boards.views import board_for_update
from web.onboarding.forms import (
    OWN_ANSWER,
    ContextForm,
    GoalForm,
    OnboardingAnswerForm,
    build_goal,
    build_prefilled_form,
    goal_form_context,
    split_answer,
)
from web.onboarding.presenter import preview_context
from web.onboarding.state import OnboardingState, load_launch_context, load_onboarding_state
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.posted_forms import allow_repetition
from web.ui.render import is_part_request, render_page, render_part, retarget

AnswerCommand = Callable[..., Awaitable[onboarding.Conversation]]


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
        **goal_form_context(request.user, state, forms.Form()),
        **context,
    )


def _format_seconds(seconds: int) -> str:
    return format_duration(timedelta(seconds=seconds))


CONVERSATION_FUNCTIONS: dict[str, Any] = {
    "OWN_ANSWER": OWN_ANSWER,
    "split_answer": split_answer,
    "format_clock": format_clock,
    "format_seconds": _format_seconds,
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
        fields = form.parse(GoalForm)
        async with open_transaction(request) as session:
            confirmed = await _confirm(request, session, fields)
        if confirmed.lead is not None and confirmed.token is not None:
            return await render_launch(request, token=confirmed.token)
        return RedirectResponse(f"/boards/{confirmed.board.id}/onboarding/launch", 303)
    if form.status == 409:
        async with open_reader(request) as source:
            state = await _load_state(request, source)
        if state.is_confirmed:
            return await render_launch(request, is_too_late=True)
    return await _render_review(request, form)


async def _confirm(request: Request, session: Session, fields: GoalForm) -> ConfirmedBoard:
    board = await board_for_update(request, session)
    state = await _load_state(request, session)
    goal = build_goal(request.user, state, fields)
    return await onboarding.confirm_without_agent(
        session, request.user, board, goal, expected=fields.seen
    )


async def _render_review(
    request: Request, typed: forms.Form, *, context_form: forms.Form | None = None
) -> Response:
    """Render the review with the submitted or drafted values, and their preview."""
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        state = await _load_state(request, source)
        form = typed if typed.is_submitted else build_prefilled_form(request.user, state)
        preview = await _load_preview(request, source, state, form)
    context: dict[str, Any] = {"state": state, "preview": preview, **preview_context(preview, form)}
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
        **goal_form_context(request.user, state, form),
    )


async def _load_preview(
    request: Request, source: Source, state: OnboardingState, form: forms.Form
) -> OnboardingPreview | None:
    """Preview the submitted goal, or return None while the form has errors."""
    if form.errors or form.problem:
        return None
    with form.catch_errors():
        goal = build_goal(request.user, state, form.parse(GoalForm))
        base_url = get_settings(request).base_url
        return await onboarding.preview_goal(
            source, request.user, state.board, goal, base_url=base_url
        )
    return None
