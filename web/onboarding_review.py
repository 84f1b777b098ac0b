"""Looking at what a board is to be before it is: the draft as a form, and what it comes to."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.http import Session, settings_of, transaction
from models import User
from services import onboarding
from services.onboarding import Confirmed, Goal, Preview
from web import ages, forms, onboarding_launch
from web import frame as frames
from web.html import page, render, wants_part
from web.onboarding import wanted_fields
from web.onboarding_forms import More, Wanted
from web.onboarding_scene import Scene, drafted, look
from web.reach import held


async def review(request: Request) -> Response:
    """Show the draft as a form; of one that is typed already, what it comes to."""
    if request.method == "GET":
        return await _review(request, forms.Form())
    return await _review(request, await forms.read(request))


async def news(request: Request) -> Response:
    """Show what has become of the onboarding since a page was opened: nothing, mostly."""
    async with transaction(request) as session:
        scene = await look(request, session)
    known = request.query_params.get("seen", "")
    return render(request, "onboarding/_news.html", scene=scene, known=known)


async def add_context(request: Request) -> Response:
    """Tell the agent something more, so that it writes another draft."""
    form = await forms.read(request)
    with form.refusals():
        wanted = form.into(More)
        async with transaction(request) as session:
            board = await held(request, session)
            await onboarding.answer(
                session, request.user, board, onboarding.CONTEXT, other=wanted.context
            )
        return RedirectResponse(f"/boards/{board.id}/onboarding", 303)
    return await _review(request, forms.Form(), more=form)


async def confirm(request: Request) -> Response:
    """Make it the board's goal, and launch its lead."""
    form = await forms.read(request)
    with form.refusals():
        wanted = form.into(Wanted)
        async with transaction(request) as session:
            done = await _confirm(request, session, wanted)
        if done.lead is not None and done.token is not None:
            return await onboarding_launch.shown(request, token=done.token)
        return RedirectResponse(f"/boards/{done.board.id}/onboarding/launch", 303)
    if form.status == 409:
        async with transaction(request) as session:
            scene = await look(request, session)
        if scene.is_confirmed:
            return await onboarding_launch.shown(request, was_late=True)
    return await _review(request, form)


async def _confirm(request: Request, session: Session, wanted: Wanted) -> Confirmed:
    board = await held(request, session)
    scene = await look(request, session)
    goal = _goal(request.user, scene, wanted)
    return await onboarding.confirm_alone(session, request.user, board, goal, seen=wanted.seen)


async def _review(
    request: Request, typed: forms.Form, *, more: forms.Form | None = None
) -> Response:
    """Show the review with what was typed, if something was, and what that comes to."""
    frame = None if wants_part(request) else await frames.load(request)
    async with transaction(request) as session:
        scene = await look(request, session)
        shown = typed if typed.sent else _filled(request, scene)
        preview = await _preview(request, session, scene, shown)
    if frame is None:
        return render(request, "onboarding/_preview.html", scene=scene, preview=preview)
    more = more or forms.Form()
    return page(
        request,
        "onboarding/review.html",
        frame=frame,
        board_id=scene.board.id,
        status=max(typed.status, more.status),
        scene=scene,
        preview=preview,
        more=more,
        **wanted_fields(request, scene, shown),
    )


async def _preview(
    request: Request, session: Session, scene: Scene, shown: forms.Form
) -> Preview | None:
    """Return what is wanted comes to; None as long as the form has something wrong in it."""
    if shown.errors or shown.problem:
        return None
    with shown.refusals():
        goal = _goal(request.user, scene, shown.into(Wanted))
        base_url = settings_of(request).base_url
        return await onboarding.preview(session, request.user, scene.board, goal, base_url=base_url)
    return None


def _goal(user: User, scene: Scene, wanted: Wanted) -> Goal:
    return wanted.goal(ages.zone(user.timezone), drafted(scene.found), scene.lead)


def _filled(request: Request, scene: Scene) -> forms.Form:
    """Return the form as the draft fills it in, or what is known of the board."""
    fields = wanted_fields(request, scene, forms.Form())
    names, targets = zip(*fields["measures"], strict=True)
    values: dict[str, list[str]] = {name: [text] for name, text in fields["before"].items()}
    values["last"] = [scene.last]
    values |= {"was_open": ["on"]} if scene.is_open else {}
    return forms.Form({**values, "measure": list(names), "target": list(targets)})
