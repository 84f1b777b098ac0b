"""Pickers: fields whose options are searched on the server, as a list below a button and as a page.

A view loads the names of what is chosen, and its template shows the field (macros/pickers.html):

    "board": await pickers.load_chosen(source, member, PickerKind.BOARDS, "board_id", form, [id])

Without scripts the field leads to a page with a search field and links. Those lead back to the page
of the field: with the value in the address, or, if the field is in a form that is posted, with the
form that was kept meanwhile and is filled in again (web/ui/posted_forms.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from core.db.reads import Source
from core.errors import Invalid, NotFound
from core.http.request import open_reader
from core.paging import Page, Paging
from models import Board, Member
from services import pickers
from services.kept_forms import FormContent
from services.pickers import PickerKind, PickerOption, PickerPlace
from web.auth.sign_in import safe_next_path
from web.auth.viewer import current_member
from web.boards.assignees import FIXED_NAMES, PERSON_PREFIX
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.locale_format import format_number
from web.ui.posted_forms import (
    PICK_PREFIX,
    TOGGLE_PREFIX,
    allow_repetition,
    find_kept_form,
    get_kept_address,
    keep_posted_form,
    read_picked_values,
)
from web.ui.render import is_part_request, render_page, render_part
from web.ui.translation import N_, _, translate

PAGE_SIZE = 20  # options
MAX_RECENT = 8  # options that were chosen before in this browser
MAX_NAME_LENGTH = 100  # characters of the name of a field
MAX_CHIPS = 20  # values that a field shows; it has the others, too
MAX_CHOSEN = 100  # values of a filter on the page of its picker
MAX_ADDRESS_LENGTH = 8_000  # characters, which servers and proxies accept

TITLES = {
    PickerKind.AGENTS: N_("Choose an agent"),
    PickerKind.SOUL_AGENTS: N_("Choose an agent"),
    PickerKind.PEOPLE: N_("Choose a person"),
    PickerKind.DECIDERS: N_("Choose a person"),
    PickerKind.ACTORS: N_("Choose an agent or a person"),
    PickerKind.ASSIGNEES: N_("Choose an agent or a person"),
    PickerKind.BOARDS: N_("Choose a board"),
    PickerKind.CHANGEABLE_BOARDS: N_("Choose a board"),
    PickerKind.PROGRAM_BOARDS: N_("Choose a board"),
    PickerKind.GATEWAY_BOARDS: N_("Choose a board"),
    PickerKind.ORGANIZATION_BOARDS: N_("Choose a board"),
    PickerKind.GROUPS: N_("Choose a group"),
    PickerKind.TAGS: N_("Choose a tag"),
    PickerKind.TAG_SLUGS: N_("Choose a tag"),
    PickerKind.TASKS: N_("Choose a task"),
    PickerKind.GATEWAYS: N_("Choose a gateway"),
    PickerKind.SKILL_PACKS: N_("Choose a pack"),
}
FIELD_TITLES = {
    "can_read": N_("Can read: choose a board"),
    "can_write": N_("Can edit: choose a board"),
    "add_tag": N_("Add a tag"),
    "remove_tag": N_("Remove a tag"),
}
"""Titles by the name of a field, where two fields of a page have options of one kind."""


class Missing(NamedTuple):
    """What a picker says if nothing exists that it could offer, and where an admin creates it."""

    text: str
    action: str
    path: str


MISSING_TAGS = Missing(N_("No tags yet."), N_("New tag"), "/tags/new")
MISSING = {
    PickerKind.TAGS: MISSING_TAGS,
    PickerKind.TAG_SLUGS: MISSING_TAGS,
    PickerKind.GATEWAYS: Missing(N_("No gateways yet."), N_("Connect a gateway"), "/gateways/new"),
    PickerKind.SKILL_PACKS: Missing(N_("No packs yet."), N_("Add a pack"), "/skills/packs/new"),
}
"""Only of kinds whose objects every member sees: of others there may be some all the same."""


class ChosenOption(NamedTuple):
    """An option with the value of its field."""

    value: str
    option: PickerOption


@dataclass(frozen=True)
class Chosen:
    """What is chosen in a field; `is_picked` if the page of the picker has led back to it."""

    options: Sequence[ChosenOption] = ()
    is_picked: bool = False
    shows_all: bool = False

    @property
    def values(self) -> list[str]:
        """The values of the field."""
        return [one.value for one in self.options]

    @property
    def shown(self) -> Sequence[ChosenOption]:
        """Those of several values that the field shows."""
        return self.options if self.shows_all else self.options[:MAX_CHIPS]

    @property
    def hidden(self) -> Sequence[ChosenOption]:
        """The other values, which are submitted all the same."""
        return self.options[len(self.shown) :]


async def load_chosen(
    source: Source,
    member: Member,
    kind: PickerKind,
    name: str,
    form: forms.Form,
    current: Sequence[object] = (),
    *,
    known: Sequence[ChosenOption] = (),
    board: Board | None = None,
    shows_all: bool = False,
) -> Chosen:
    """Return what a field shows as chosen: what was submitted or picked, else the current values.

    `known` are options that are loaded already; `board` is only needed for tasks.
    """
    picked = read_picked_values(name)
    before = [str(one) for one in current if one]
    values = form.selected(name, before) if picked is None else picked
    chosen = {one.value: one for one in known}
    unknown = [one for one in values if one and one not in chosen]
    found = await _find_chosen(source, PickerPlace(member, board), kind, unknown)
    chosen |= {one.value: one for one in found}
    options = [chosen[one] for one in dict.fromkeys(values) if one]
    return Chosen(options, picked is not None, shows_all)


async def load_value_names(
    source: Source, member: Member, kind: PickerKind, values: Sequence[object]
) -> dict[str, str]:
    """Return the names of values of a field, by value."""
    given = [str(one) for one in values if one]
    found = await _find_chosen(source, PickerPlace(member), kind, given)
    return {one.value: one.option.name for one in found}


async def _find_chosen(
    source: Source,
    place: PickerPlace,
    kind: PickerKind,
    values: Sequence[str],
    *,
    only_offered: bool = False,
) -> list[ChosenOption]:
    """Return the options with these values, or only those that are offered.

    One that does not exist any more is unknown.
    """
    keys = {value: value.removeprefix(PERSON_PREFIX) for value in values}
    wanted = [key for key in keys.values() if key not in FIXED_NAMES]
    found = await pickers.find_options(source, place, kind, wanted, only_offered=only_offered)
    if only_offered:
        return [ChosenOption(value, found[key]) for value, key in keys.items() if key in found]
    words = {key: translate(name) for key, name in FIXED_NAMES.items()}
    return [
        ChosenOption(
            value, found.get(key) or PickerOption("word", key, words.get(key) or _("Unknown"))
        )
        for value, key in keys.items()
    ]


@dataclass(frozen=True)
class PickerAddress:
    """The picker of a field, and which of its options are shown.

    `back` is the page of the field, and `form` the id of its form, if that was kept.
    """

    kind: PickerKind
    name: str
    board_id: UUID | None
    task_id: UUID | None
    gateway_id: UUID | None
    back: str
    form: UUID | None
    is_several: bool
    is_optional: bool  # nothing can be chosen
    has_fixed: bool  # also offers the values in FIXED_NAMES
    q: str
    offset: int

    @classmethod
    def from_request(cls, request: Request) -> "PickerAddress":
        """Parse the address. Raises NotFound for an unknown kind."""
        query = request.query_params
        try:
            kind = PickerKind(request.path_params["picker_kind"])
        except ValueError:
            raise NotFound("picker_not_found", N_("There is nothing to choose here.")) from None
        return cls(
            kind,
            query.get("name", "")[:MAX_NAME_LENGTH],
            forms.parse_id(query.get("board")),
            forms.parse_id(query.get("task")),
            forms.parse_id(query.get("gateway")),
            safe_next_path(query.get("return", "/")),
            forms.parse_id(query.get("form")),
            "several" in query,
            "none" in query,
            "fixed" in query,
            forms.parse_search(query),
            forms.parse_offset(query) // PAGE_SIZE * PAGE_SIZE,
        )

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of the address, without what is searched and where the page begins."""
        all = {
            "name": self.name,
            "board": str(self.board_id or ""),
            "task": str(self.task_id or ""),
            "gateway": str(self.gateway_id or ""),
            "return": self.back,
            "form": str(self.form or ""),
            "several": "1" if self.is_several else "",
            "none": "1" if self.is_optional else "",
            "fixed": "1" if self.has_fixed else "",
        }
        return {name: value for name, value in all.items() if value}

    def at(self, offset: int) -> str:
        """Return the address of another page of options."""
        more = {"q": self.q, "offset": str(offset or "")}
        given = self.parameters | {name: value for name, value in more.items() if value}
        return f"/pick/{self.kind}?{urlencode(given)}"

    def lead_back(self, values: Sequence[str]) -> str:
        """Return the address of the page of the field, with these values chosen.

        Those of a form are kept with it, so that `values` are those to set, or to add or take out.
        """
        page = urlsplit(self.back)
        field = self.name
        left = {field, "offset", "before", "after"}  # another choice begins with the first page
        if self.form:
            field = f"{TOGGLE_PREFIX if self.is_several else PICK_PREFIX}{self.name}"
            left = {field}
        query = [pair for pair in parse_qsl(page.query, True) if pair[0] not in left]
        query += [(field, value) for value in values]
        query += [(forms.KEPT_PARAMETER, str(self.form))] if self.form else []
        path = page.path if not query else f"{page.path}?{urlencode(query)}"
        return f"{path}#{page.fragment}" if page.fragment else path

    def change(self, chosen: Sequence[str], value: str) -> str:
        """Return where a choice leads; one of several is added, or taken out."""
        if self.form or not self.is_several:
            return self.lead_back([value] if value or self.form else [])
        kept = [one for one in chosen if one != value]
        return self.lead_back([*kept, value] if value not in chosen else kept)

    def cancel(self, chosen: Sequence[str]) -> str:
        """Return the address of the page of the field, with what is chosen."""
        return self.lead_back([] if self.form else chosen)

    def name_fixed(self) -> list[ChosenOption]:
        """Return the fixed values whose name contains the text."""
        if not self.has_fixed or self.offset:
            return []
        named = [(key, translate(name)) for key, name in FIXED_NAMES.items()]
        fitting = [(key, name) for key, name in named if self.q.casefold() in name.casefold()]
        return [ChosenOption(key, PickerOption("word", key, name)) for key, name in fitting]


async def show_picker(request: Request) -> Response:
    """Show options: as a page, and for the script of the field only the list."""
    address, member = PickerAddress.from_request(request), current_member(request)
    is_part = is_part_request(request)
    layout = None if is_part else await load_layout(request)
    async with open_reader(request) as source:
        place = await pickers.get_picker_place(
            source,
            member,
            address.kind,
            board_id=address.board_id,
            task_id=address.task_id,
            gateway_id=address.gateway_id,
        )
        paging = Paging(PAGE_SIZE, address.offset)
        page = await pickers.list_options(source, place, address.kind, address.q, paging)
        recent: list[ChosenOption] = []
        if is_part and not address.q:
            given = request.query_params.get("recent", "").split(",", MAX_RECENT)[:MAX_RECENT]
            recent = await _find_chosen(source, place, address.kind, given, only_offered=True)
        kept = await find_kept_form(request, address.form) if address.form else None
        values = [] if is_part else _read_chosen_values(address, kept)
        chosen = await _find_chosen(source, place, address.kind, values[:MAX_CHOSEN])
    context: dict[str, Any] = {
        "address": address,
        "options": [*address.name_fixed(), *_merge(address.kind, recent, page)],
        "count": _describe_count(page),
        "missing": None if page.total or address.q else MISSING.get(address.kind),
        "is_admin": member.is_admin,
        "values": values,
    }
    if layout is None:
        return render_part(request, "pickers/_options.html", **context)
    end = page.offset + len(page.items)
    return render_page(
        request,
        "pickers/show.html",
        layout=layout,
        title=translate(FIELD_TITLES.get(address.name, TITLES[address.kind])),
        selected_count=_count_selected_tasks(kept),
        chosen=chosen,
        hidden_count=len(values) - len(chosen),
        next=address.at(end) if end < page.total and page.items else "",
        previous=address.at(max(page.offset - PAGE_SIZE, 0)) if page.offset else "",
        **context,
    )


def _read_chosen_values(address: PickerAddress, kept: FormContent | None) -> list[str]:
    """Return the values of the field: in the form that was kept, or in the address of its page.

    Raises Invalid for too many in an address: each link of the page has all of them.
    """
    if address.form:
        pairs = kept.fields if kept else ()
        values = list(dict.fromkeys(value for name, value in pairs if name == address.name))
        return [value for value in values if 0 < len(value) <= MAX_NAME_LENGTH]
    pairs = parse_qsl(urlsplit(address.back).query, True)
    values = [value for name, value in pairs if name == address.name and value]
    if len(values) > MAX_CHOSEN or len(address.lead_back(values)) > MAX_ADDRESS_LENGTH:
        reason = N_("Too many values are chosen to change them without JavaScript.")
        raise Invalid("too_many_values", reason)
    return values


def _count_selected_tasks(kept: FormContent | None) -> int:
    """Return how many tasks are selected in the bar of a board; 0 for any other form."""
    fields = kept.fields if kept else ()
    matching = [forms.parse_number(value) for name, value in fields if name == "all"]
    return max(matching, default=len({value for name, value in fields if name == "ids"}))


def _merge(
    kind: PickerKind, recent: Sequence[ChosenOption], page: Page[PickerOption]
) -> list[ChosenOption]:
    """Return the recent options and then those of the page, at most PAGE_SIZE, each once."""
    merged = {one.value: one for one in [*recent, *(_add_value(kind, one) for one in page.items)]}
    return list(merged.values())[:PAGE_SIZE]


def _add_value(kind: PickerKind, option: PickerOption) -> ChosenOption:
    is_prefixed = kind is PickerKind.ASSIGNEES and option.kind == "person"
    return ChosenOption(f"{PERSON_PREFIX}{option.key}" if is_prefixed else option.key, option)


def _describe_count(page: Page[PickerOption]) -> str:
    """Say how many of the options are shown, or that there are none."""
    if not page.items:
        return _("No results.")
    total = format_number(min(page.total, pickers.MAX_COUNT))
    if page.total > pickers.MAX_COUNT:
        total += "+"
    if len(page.items) == page.total:
        return ""
    end = format_number(page.offset + len(page.items))
    if page.offset:
        first = format_number(page.offset + 1)
        return _("%(first)s to %(last)s of %(total)s", first=first, last=end, total=total)
    return _("%(shown)s of %(total)s", shown=end, total=total)


async def keep_form(request: Request) -> Response:
    """Keep the form of a field, and show the page on which a value is chosen for it.

    If a part of the form cannot be read, show a page that says so, and leads back to the rest.
    """
    allow_repetition(request)
    address = PickerAddress.from_request(request)
    form = await keep_posted_form(request)
    if form.is_complete:
        return RedirectResponse(replace(address, back=form.page, form=form.id).at(0), 303)
    layout = await load_layout(request)
    return render_page(
        request,
        "pickers/unreadable_form.html",
        layout=layout,
        status=422,
        back=get_kept_address(form.page, form.id),
        is_kept=form.id is not None,
        max_fields=forms.MAX_FIELDS,
    )


PICKER_ROUTES: list[Route] = [
    Route("/pick/{picker_kind}", show_picker, name="picker"),
    Route("/pick/{picker_kind}", keep_form, methods=["POST"]),
]
