"""The page of a question of a worker, with the form that answers it."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from core.http.request import open_reader, open_transaction
from services import boards, questions
from services.questions import QuestionAnswer
from web.auth.viewer import current_member
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.render import render_page

PATH = "/questions/{question_id:uuid}"


async def show_question(request: Request) -> Response:
    """Show a question, and its answer if there is one."""
    return await _render_question(request, forms.Form())


async def answer_question(request: Request) -> Response:
    """Send the answer to the agent, and show the inbox."""
    form = await forms.read_form(request)
    member = current_member(request)
    with form.catch_errors():
        fields = form.parse(QuestionAnswer)
        async with open_transaction(request) as session:
            question_id = forms.path_id(request, "question_id")
            detail = await questions.get_question(session, member, question_id)
            board = await boards.lock_board(session, member, detail.board.id)
            await questions.answer_question(
                session, request.user, board, question_id, fields.answer
            )
        return RedirectResponse(f"/questions/{question_id}", 303)
    return await _render_question(request, form)


async def _render_question(request: Request, form: forms.Form) -> Response:
    layout = await load_layout(request)
    async with open_reader(request) as source:
        detail = await questions.get_question(
            source, current_member(request), forms.path_id(request, "question_id")
        )
    return render_page(
        request,
        "questions/show.html",
        layout=layout,
        status=form.status,
        detail=detail,
        form=form,
    )


QUESTION_ROUTES: list[Route] = [
    Route(PATH, show_question),
    Route(f"{PATH}/answers", answer_question, methods=["POST"]),
    Route(f"{PATH}/answers", show_question),
]
