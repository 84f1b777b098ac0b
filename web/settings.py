"""Pages with the user's own settings: profile, password, sessions, API tokens, deleted account."""

import re
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, field_validator
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.clock import now
from core.db.reads import Source
from core.errors import Conflict, Invalid
from core.fields import Label
from core.http.request import STATUS_CODES, get_settings, open_reader, open_transaction
from models import ApiToken, TokenScope, User
from services import audit, identity, organizations
from services.audit import LastChange
from services.identity import ApiTokenCreate
from web.auth import viewer
from web.auth.sign_in import record_failures
from web.auth.viewer import clear_session_cookie, set_session_cookie
from web.ui import flash_cookies, forms, time_format, translation
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import EditedField, check_edit
from web.ui.flash_cookies import redirect_with_notice
from web.ui.forms import TimeZoneName, list_time_zones
from web.ui.layout import load_layout
from web.ui.object_forms import build_form_fields, list_edited_fields
from web.ui.render import render_page
from web.ui.translation import N_, _, ngettext, translate

SCOPE_NAMES = {
    TokenScope.READ: N_("only reads"),
    TokenScope.NO_DECISIONS: N_("reads and changes, does not decide"),
    TokenScope.WRITE: N_("reads, changes and decides"),
}

BROWSERS = (
    ("Edg(?:e|A|iOS)?/", "Edge"),
    ("OPR/|Opera", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"),
    ("Firefox/|FxiOS/", "Firefox"),
    ("Chrome/|CriOS/|Chromium/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
)
"""Browsers by a pattern in their user agent. Order matters: Edge also contains "Chrome"."""

SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X|Macintosh", "Mac"),
    ("Linux|X11", "Linux"),
)


def _validate_language(name: str | None) -> str | None:
    if name is not None and name not in translation.LANGUAGES:
        raise ValueError(_("Choose one of those that are offered."))
    return name


LanguageName = Annotated[forms.OptionalLine, AfterValidator(_validate_language)]


class ProfileForm(identity.ProfileUpdate):
    """The profile, with a time zone and a language that exist."""

    timezone: Annotated[TimeZoneName, Label(N_("Time zone"))] = None
    language: Annotated[LanguageName, Label(N_("Language"))] = None


class PasswordChangeForm(BaseModel):
    """The current and the new password."""

    current: forms.Secret
    new: forms.Secret


class TokenEndingsForm(BaseModel):
    """The API tokens to end."""

    # a user may have more than 20, from before there was a limit
    ids: list[UUID] = Field(default=[], max_length=1_000, validate_default=True)

    @field_validator("ids")
    @classmethod
    def _require_one(cls, ids: list[UUID]) -> list[UUID]:
        if not ids:
            raise ValueError(_("Choose at least one token, or keep all of them."))
        return ids


async def show_settings(request: Request) -> Response:
    """Show the settings."""
    return await _render_settings(request, forms.Form(), "")


async def save_profile(request: Request) -> Response:
    """Save the profile, or what agents know about the user."""
    form = await forms.read_form(request)
    section = "known" if form.value("section") == "known" else "you"
    with form.catch_errors():
        fields = form.parse(ProfileForm)
        async with open_transaction(request) as session:
            user = await organizations.lock_user(session, request.user)
            fields = fields.without(check_edit(form, list_edited_fields(ProfileForm, user)))
            user = await identity.update_profile(session, user, fields)
        return forms.redirect_saved(
            f"/settings#{section}", time_format.get_time_zone(user.timezone)
        )
    if form.conflicts:
        change = LastChange(request.user.updated_at, None, request.user.id)
        about = ConflictContext(_("Settings"), f"/settings#{section}", last_change=change)
        return await render_conflict(request, form, about)
    return await _render_settings(request, form, section)


async def save_detected_time_zone(request: Request) -> Response:
    """Save the time zone of the browser for a user who has none."""
    form = await forms.read_form(request)
    async with open_transaction(request) as session:
        await identity.save_first_time_zone(session, request.user, form.value("timezone"))
    return Response(status_code=204)


async def change_password(request: Request) -> Response:
    """Change the password, renew the session, and end all others. Raises TooMany."""
    form = await forms.read_form(request)
    verifier = viewer.credential_verifier(request)
    with form.catch_errors():
        fields = form.parse(PasswordChangeForm)
        async with (
            record_failures(request, request.user),
            verifier.password_attempt(request.user.id) as lane,
        ):
            async with open_transaction(request) as session:
                stored = await identity.get_stored_password(session, request.user)
            verified = await verifier.verify_current_password(stored, fields.current, lane=lane)
        new_hash = await verifier.hash_new_password(
            fields.new, "new", email=request.user.email, lane=lane
        )
        keep = request.auth.sign_in.id
        async with open_transaction(request) as session:
            secret = await identity.change_password(
                session, request.user, verified, new_hash=new_hash, keep=keep
            )
            tokens = await _list_valid_tokens(session, request.user)
        zone = time_format.get_time_zone(request.user.timezone)
        response = forms.redirect_saved("/settings#password", zone)
        if tokens:
            response = RedirectResponse("/settings/tokens/endings?after=password", 303)
        return set_session_cookie(request, response, secret)
    return await _render_settings(request, form, "password")


async def end_session(request: Request) -> Response:
    """End a session; after the current session redirect to the sign-in page."""
    sign_in_id = forms.path_id(request, "sign_in_id")
    async with open_transaction(request) as session:
        await identity.end_session(session, request.user, sign_in_id)
    if sign_in_id == request.auth.sign_in.id:
        return clear_session_cookie(request, RedirectResponse("/sign-in", 303))
    return redirect_with_notice(request, "/settings#sessions", _("Session ended"))


async def end_other_sessions(request: Request) -> Response:
    """End all sessions but the current one."""
    async with open_transaction(request) as session:
        keep = request.auth.sign_in.id
        await identity.end_other_sessions(session, request.user, keep=keep)
    return redirect_with_notice(request, "/settings#sessions", _("All other sessions ended"))


async def create_token(request: Request) -> Response:
    """Create an API token, and redirect to the page that shows it once."""
    form = await forms.read_form(request)
    with form.catch_errors():
        fields = form.parse(ApiTokenCreate)
        async with open_transaction(request) as session:
            signed_in_at = request.auth.sign_in.authenticated_at
            _, token = await identity.create_api_token(
                session, request.user, fields, signed_in_at=signed_in_at
            )
        return flash_cookies.redirect_with_secret(request, "/settings#tokens", token)
    return await _render_settings(request, form, "tokens")


async def revoke_token(request: Request) -> Response:
    """Revoke an API token."""
    token_id = forms.path_id(request, "token_id")
    async with open_transaction(request) as session:
        name = await identity.revoke_api_token(session, request.user, token_id)
    return redirect_with_notice(request, "/settings#tokens", _("Revoked “%(name)s”", name=name))


async def show_token_endings(request: Request) -> Response:
    """Show the valid API tokens, all of them chosen to be ended."""
    return await _render_token_endings(request, forms.Form())


async def revoke_tokens(request: Request) -> Response:
    """Revoke the chosen API tokens."""
    form = await forms.read_form(request)
    with form.catch_errors():
        ids = form.parse(TokenEndingsForm).ids
        async with open_transaction(request) as session:
            count = await identity.revoke_chosen_api_tokens(session, request.user, ids)
        text = ngettext("Revoked %(num)d token", "Revoked %(num)d tokens", count)
        return redirect_with_notice(request, "/settings#tokens", text)
    return await _render_token_endings(request, form)


async def _render_token_endings(request: Request, form: forms.Form) -> Response:
    layout = await load_layout(request)
    async with open_reader(request) as source:
        tokens = await _list_valid_tokens(source, request.user)
    return render_page(
        request,
        "settings/token_endings.html",
        layout=layout,
        status=form.status,
        form=form,
        tokens=tokens,
        chosen=form.selected("ids", [str(one.id) for one in tokens]),
        scope_names=_name_scopes(),
        is_after_password=request.query_params.get("after") == "password",
    )


async def _list_valid_tokens(source: Source, user: User) -> list[ApiToken]:
    """Return the API tokens of a user that have not expired, newest first."""
    at, tokens = now(), await identity.list_api_tokens(source, user)
    return [one for one in tokens if one.expires_at is None or one.expires_at > at]


async def _render_settings(request: Request, form: forms.Form, section: str) -> Response:
    layout = await load_layout(request)
    async with open_reader(request) as source:
        idle_days = get_settings(request).session_idle_days
        sessions = await identity.list_sessions(source, request.user, idle_days=idle_days)
        tokens = await identity.list_api_tokens(source, request.user)
        shows_system = await audit.may_read_installation(source, viewer.current_member(request))
    blank, edited = forms.Form(), list_edited_fields(ProfileForm, layout.user)
    response = render_page(
        request,
        "settings/show.html",
        layout=layout,
        status=form.status,
        form=form,
        blank=blank,
        section=section,
        profiles={
            name: build_form_fields(form if section == name else blank, ProfileForm, edited)
            for name in ("you", "known")
        },
        saved=forms.read_saved_time(request),
        user=layout.user,
        shows_system=shows_system,
        sessions=sessions,
        current_session_id=request.auth.sign_in.id,
        tokens=tokens,
        mcp_address=f"{get_settings(request).base_url}/mcp",
        token=flash_cookies.read_secret(request),
        describe_browser=describe_browser,
        is_phone=is_phone,
        time_zones=list_time_zones(),
        languages=[("", _("Language of the browser")), *translation.LANGUAGES.items()],
        local_time=forms.current_clock_time(time_format.get_time_zone(layout.user.timezone)),
        min_password_length=identity.MIN_PASSWORD_LENGTH,
        scopes=[
            (TokenScope.NO_DECISIONS, _("Read and change, but not decide")),
            (TokenScope.READ, _("Only read")),
            (TokenScope.WRITE, _("Read, change and decide")),
        ],
        scope_names=_name_scopes(),
        lifetimes=[
            *(
                (days, ngettext("%(num)d day", "%(num)d days", days))
                for days in identity.TOKEN_LIFETIMES
            ),
            (0, _("No expiry")),
        ],
        token_fields=build_form_fields(
            form if section == "tokens" else blank, ApiTokenCreate, OFFERED_TOKEN
        ),
        now=now(),
    )
    return flash_cookies.forget_secret(request, response)


OFFERED_TOKEN = [EditedField("scope", "", TokenScope.NO_DECISIONS)]
"""A coding agent with a token that decides would decide what the texts of others ask for."""


def _name_scopes() -> dict[TokenScope, str]:
    return {scope: translate(name) for scope, name in SCOPE_NAMES.items()}


def describe_browser(user_agent: str | None) -> str:
    """Describe browser and system, such as "Firefox on Linux"."""
    browser = _first_match(BROWSERS, user_agent) or _("A browser")
    system = _first_match(SYSTEMS, user_agent)
    if not system:
        return browser
    return _("%(browser)s on %(system)s", browser=browser, system=system)


def is_phone(user_agent: str | None) -> bool:
    """Return whether the browser runs on a phone."""
    return bool(re.search("iPhone|Android.*Mobile", user_agent or ""))


def _first_match(patterns: tuple[tuple[str, str], ...], user_agent: str | None) -> str:
    matches = (name for pattern, name in patterns if re.search(pattern, user_agent or ""))
    return next(matches, "")


async def show_account(request: Request) -> Response:
    """Show what is deleted with the account, or what has to be done before."""
    return await _render_account(request, forms.Form())


async def delete_account(request: Request) -> Response:
    """Delete the account if its address was typed, and redirect to a page that says so.

    Raises RecentSignInRequired.
    """
    form = await forms.read_form(request)
    with form.catch_errors():
        expected = request.user.email or request.user.display_name
        if form.value("confirmation").strip().casefold() != expected.strip().casefold():
            reason = N_("This does not match. Type it exactly as shown.")
            raise Invalid("confirmation_differs", reason, field="confirmation")
        organizations.require_recent_sign_in(request.auth.sign_in.authenticated_at)
        async with open_transaction(request) as session:
            await identity.delete_account(session, request.user)
        return clear_session_cookie(request, RedirectResponse("/account-deleted", 303))
    return await _render_account(request, form)


async def show_deleted_account(request: Request) -> Response:
    """Show that the account was deleted."""
    return render_page(request, "settings/account_deleted.html")


async def _render_account(request: Request, form: forms.Form) -> Response:
    layout = await load_layout(request)
    async with open_reader(request) as source:
        memberships = await identity.list_membership_summaries(source, request.user)
    if form.code == "last_owner":
        form.status, form.problem = STATUS_CODES[Conflict], ""
    return render_page(
        request,
        "settings/account.html",
        layout=layout,
        status=form.status,
        form=form,
        ownerless=[one for one in memberships if one.needs_owner],
        deleted=[one for one in memberships if not one.others],
        left=[one for one in memberships if one.others],
        confirmation=request.user.email or request.user.display_name,
    )
