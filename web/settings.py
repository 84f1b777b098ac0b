"""A person's own settings: who they are, how they sign in, and what they look at."""

from functools import cache
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.http import transaction
from services import identity, users
from web import ages, forms
from web import frame as frames
from web.browsers import browser, is_phone
from web.html import page

Said = Annotated[forms.Line | None, forms.OrNothing]
Told = Annotated[forms.Text | None, forms.OrNothing]

OLD_NAMES = ("Etc/", "SystemV/", "US/", "posix/", "right/")  # of zones that have better ones


@cache
def zones() -> list[str]:
    """Return the names of the time zones, as people look for them."""
    known = sorted(available_timezones())
    return [name for name in known if "/" in name and not name.startswith(OLD_NAMES)] + ["UTC"]


def _a_zone(name: str | None) -> str | None:
    if name is not None and name not in available_timezones():
        raise ValueError("Choose one from the list, like Europe/Berlin.")
    return name


Zone = Annotated[Said, AfterValidator(_a_zone)]


class You(BaseModel):
    """How a person is called, and where they are."""

    name: Said = None
    preferred_name: Said = None
    pronouns: Said = None
    timezone: Zone = None


class Known(BaseModel):
    """What agents know about a person."""

    notes: Told = None
    context: Told = None


class Passwords(BaseModel):
    """A password, and the one that is to take its place."""

    current: forms.Secret
    new: forms.Secret


class Token(BaseModel):
    """What a token is for."""

    name: forms.Line


PROFILES: dict[str, type[You | Known]] = {"you": You, "known": Known}


async def show(request: Request) -> Response:
    """Show all of it."""
    return await _show(request, forms.Form(), "")


async def save_profile(request: Request) -> Response:
    """Save who the person is, or what agents know about them."""
    form = await forms.read(request)
    section = "known" if form.value("section") == "known" else "you"
    with form.refusals():
        wanted = form.into(PROFILES[section])
        async with transaction(request) as session:
            user = await users.change_profile(
                session, request.user, wanted.model_dump(exclude_unset=True)
            )
        return forms.saved(f"/settings#{section}", ages.zone(user.timezone))
    return await _show(request, form, section)


async def change_password(request: Request) -> Response:
    """Change the password, and sign out whoever is signed in elsewhere. Raises TooMany."""
    form = await forms.read(request)
    limit, key = request.state.limits.sign_ins, f"password {request.user.id}"
    with form.refusals():
        wanted = form.into(Passwords)
        limit.visit(key)
        async with transaction(request) as session:
            kept = await identity.kept_password_of(session, request.user)
        proven = await identity.check_current(kept, wanted.current)
        new_hash, keep = await identity.hashed(wanted.new, "new"), request.auth.sign_in.id
        async with transaction(request) as session:
            await identity.change_password(
                session, request.user, proven, new_hash=new_hash, keep=keep
            )
        limit.take_back(key)
        return forms.saved("/settings#password", ages.zone(request.user.timezone))
    return await _show(request, form, "password")


async def end_session(request: Request) -> Response:
    """Sign a browser out. If it is this one, go and sign in."""
    sign_in_id: UUID = request.path_params["sign_in_id"]
    async with transaction(request) as session:
        await identity.end_session(session, request.user, sign_in_id)
    ended_here = sign_in_id == request.auth.sign_in.id
    return RedirectResponse("/sign-in" if ended_here else "/settings#sessions", 303)


async def end_other_sessions(request: Request) -> Response:
    """Sign all browsers out but this one."""
    async with transaction(request) as session:
        keep = request.auth.sign_in.id
        await identity.end_other_sessions(session, request.user, keep=keep)
    return RedirectResponse("/settings#sessions", 303)


async def create_token(request: Request) -> Response:
    """Make a token for scripts, and show it: now, and never again."""
    form = await forms.read(request)
    with form.refusals():
        wanted = form.into(Token)
        async with transaction(request) as session:
            _, token = await identity.create_api_token(session, request.user, name=wanted.name)
        return await _show(request, forms.Form(), "tokens", token=token)
    return await _show(request, form, "tokens")


async def revoke_token(request: Request) -> Response:
    """Make a token useless."""
    token_id: UUID = request.path_params["token_id"]
    async with transaction(request) as session:
        await identity.revoke_api_token(session, request.user, token_id)
    return RedirectResponse("/settings#tokens", 303)


async def _show(
    request: Request, form: forms.Form, section: str, *, token: str | None = None
) -> Response:
    frame = await frames.load(request)
    async with transaction(request) as session:
        sessions = await identity.sessions_of(session, request.user)
        tokens = await identity.api_tokens(session, request.user)
    facts: dict[str, Any] = {
        "person": frame.user,
        "sessions": sessions,
        "here_id": request.auth.sign_in.id,
        "tokens": tokens,
        "token": token,
    }
    words: dict[str, Any] = {
        "browser": browser,
        "is_phone": is_phone,
        "zones": zones(),
        "zone_clock": forms.clock(ages.zone(frame.user.timezone)),
        "shortest": identity.SHORTEST_PASSWORD,
    }
    return page(
        request,
        "settings/show.html",
        frame=frame,
        status=form.status,
        form=form,
        blank=forms.Form(),
        section=section,
        saved=forms.saved_at(request),
        **facts,
        **words,
    )
