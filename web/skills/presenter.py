"""Prepare skills, packs and the differences of files for templates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from core.paging import Page
from models import Gateway, Skill, SkillPack, SkillVersion
from services.skills import (
    UNCATEGORIZED,
    WARNINGS,
    Installation,
    SkillCard,
    SkillFilter,
    SkillState,
    decode_shown_text,
    is_upload,
)
from web.ui import forms
from web.ui.text_comparison import MAX_SHOWN_LINES, limit_lines, list_changes
from web.ui.translation import N_, _, ngettext, translate
from web.ui.unified_diff import DiffLine

STATES: Mapping[SkillState, tuple[str, str]] = {
    SkillState.REQUESTED: (N_("Requested"), "line"),
    SkillState.SENT: (N_("Sent"), "line"),
    SkillState.ACKNOWLEDGED: (N_("Finished by the agent"), "line"),
    SkillState.INSTALLED: (N_("Installed"), "good"),
    SkillState.FAILED: (N_("Installation failed"), "danger"),
    SkillState.REMOVAL_REQUESTED: (N_("Removal requested"), "line"),
    SkillState.REMOVAL_SENT: (N_("Removal sent"), "line"),
    SkillState.REMOVAL_ACKNOWLEDGED: (N_("Removed by the agent"), "line"),
    SkillState.REMOVAL_FAILED: (N_("Removal failed"), "danger"),
}
"""The names and tones of states."""

EXPLANATIONS: Mapping[SkillState, str] = {
    SkillState.REQUESTED: N_("The message is queued for the gateway."),
    SkillState.SENT: N_("The agent of the gateway works on it."),
    SkillState.ACKNOWLEDGED: N_("The gateway was not asked yet whether it has the skill."),
    SkillState.INSTALLED: N_("The gateway lists the skill."),
    SkillState.FAILED: N_("The gateway does not list the skill."),
    SkillState.REMOVAL_REQUESTED: N_("The message is queued for the gateway."),
    SkillState.REMOVAL_SENT: N_("The agent of the gateway works on it."),
    SkillState.REMOVAL_ACKNOWLEDGED: N_("The gateway was not asked yet whether it has the skill."),
    SkillState.REMOVAL_FAILED: N_("The gateway still lists the skill."),
}

RISK_TONES: Mapping[str, str] = {
    **dict.fromkeys(("safe", "none", "low"), "good"),
    **dict.fromkeys(("moderate", "medium", "elevated"), "signal"),
    **dict.fromkeys(("high", "critical", "offensive"), "danger"),
}
PAGE_SIZES = (25, 50, 100, 200)
ALREADY_DELETED = "already"  # in an address: others have deleted all that was selected


@dataclass(frozen=True)
class GatewayRow:
    """A gateway with the state of a skill there."""

    gateway: Gateway
    installation: Installation | None
    is_current: bool  # it has the current files, or was asked for them

    @property
    def state(self) -> tuple[str, str]:
        """The name and the tone of the state."""
        return describe_state(self.installation) if self.installation else ("", "")

    @property
    def explanation(self) -> str:
        """What the state means; the error of the message if it has failed."""
        if self.installation is None:
            return ""
        return self.installation.error or translate(EXPLANATIONS[self.installation.state])

    @property
    def is_removable(self) -> bool:
        """Whether a removal can be requested."""
        removing = {SkillState.REMOVAL_REQUESTED, SkillState.REMOVAL_SENT}
        return self.installation is not None and self.installation.state not in removing


@dataclass(frozen=True)
class FileChange:
    """A file that differs between two versions of a skill. Without lines it is not text."""

    path: str
    lines: Sequence[DiffLine]
    is_binary: bool = False
    is_escaped: bool = False  # bytes that are not UTF-8 are shown as codes


@dataclass(frozen=True)
class DeletionResult:
    """What became of a selection that was to be deleted."""

    text: str
    tone: str = ""


@dataclass(frozen=True)
class ShownFile:
    """A file as a page shows it; without a text it is none."""

    path: str
    size: int
    text: str | None
    is_escaped: bool  # as of FileChange


def describe_state(installation: Installation) -> tuple[str, str]:
    """Return the name and the tone of the state of a skill on a gateway."""
    name, tone = STATES[installation.state]
    return translate(name), tone


def get_risk_tone(risk: str | None) -> str:
    """Return the tone of a risk."""
    return RISK_TONES.get((risk or "").strip().lower(), "line")


def list_gateway_rows(
    skill: Skill, gateways: Sequence[Gateway], installations: Sequence[Installation]
) -> list[GatewayRow]:
    """Return all gateways, by name, with the state of a skill."""
    by_gateway = {one.row.gateway_id: one for one in installations}
    rows = []
    for gateway in sorted(gateways, key=lambda one: one.name.lower()):
        found = by_gateway.get(gateway.id)
        is_current = found is not None and found.is_wanted and found.row.digest == skill.digest
        rows.append(GatewayRow(gateway, found, is_current))
    return rows


def list_file_changes(old: SkillVersion | None, new: SkillVersion | None) -> list[FileChange]:
    """Return the files that differ, by path."""
    before, after = _files_by_path(old), _files_by_path(new)
    changes, left = [], MAX_SHOWN_LINES
    for path in sorted({*before, *after}):
        one, other = before.get(path), after.get(path)
        if one == other:
            continue
        texts = [decode_shown_text(file) if file else "" for file in (one, other)]
        is_binary = (texts[1] if other else texts[0]) is None
        compared = [] if is_binary else list_changes(texts[0] or "", texts[1] or "")
        lines = limit_lines(compared, left)
        left = max(left - len(lines), 0)
        is_escaped = any(file and _is_escaped(file) for file in (one, other))
        changes.append(FileChange(path, lines, is_binary, is_escaped))
    return changes


def list_files(version: SkillVersion | None) -> list[ShownFile]:
    """Return the files of a version as a page shows them."""
    return [
        ShownFile(file["path"], file["size"], decode_shown_text(file), _is_escaped(file))
        for file in (version.files if version else [])
    ]


def _is_escaped(file: Mapping[str, Any]) -> bool:
    return "text" not in file and decode_shown_text(file) is not None


def _files_by_path(version: SkillVersion | None) -> dict[str, dict[str, Any]]:
    return {file["path"]: file for file in version.files} if version else {}


def describe_warnings(warnings: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """Return the paths and texts of warnings."""
    return [(path, translate(WARNINGS[code])) for code, path in warnings if code in WARNINGS]


def find_browse_url(url: str) -> str:
    """Return an address that can be opened in a browser, or ""."""
    return url if urlsplit(url).scheme in ("http", "https") else ""


def describe_source(pack: SkillPack) -> str:
    """Return where a pack is from."""
    return _("Uploaded") if is_upload(pack.source_url) else pack.source_url


def describe_deleted_skills(given: str) -> DeletionResult | None:
    """Say what became of the selected skills: a number, `ALREADY_DELETED` or nothing is given."""
    if count := forms.parse_number(given):
        text = ngettext("%(num)d skill deleted.", "%(num)d skills deleted.", count)
        return DeletionResult(text, "good")
    texts = {
        "0": N_("Nothing was deleted: no skill was selected."),
        ALREADY_DELETED: N_("None of the selected skills exists any more."),
    }
    return DeletionResult(translate(texts[given])) if given in texts else None


def describe_deleted_packs(given: str) -> DeletionResult | None:
    """Say what became of the selected packs: a number, `ALREADY_DELETED` or nothing is given."""
    if count := forms.parse_number(given):
        text = ngettext("%(num)d pack deleted.", "%(num)d packs deleted.", count)
        return DeletionResult(text, "good")
    texts = {
        "0": N_("Nothing was deleted: no pack was selected."),
        ALREADY_DELETED: N_("None of the selected packs exists any more."),
    }
    return DeletionResult(translate(texts[given])) if given in texts else None


def build_list_context(
    page: Page[SkillCard],
    installations: Sequence[Installation],
    chosen: SkillFilter,
    choices: tuple[Sequence[str], Sequence[str]],
) -> dict[str, Any]:
    """Return the context of the list of skills."""
    by_skill: dict[Any, list[tuple[str, str, str]]] = {}
    for one in installations:
        by_skill.setdefault(one.row.skill_id, []).append((one.gateway_name, *describe_state(one)))
    query = {
        "q": chosen.search,
        "category": chosen.category,
        "risk": chosen.risk,
        "pack": chosen.pack_id or "",
        "per": "" if page.limit == PAGE_SIZES[0] else page.limit,
    }
    given = {name: value for name, value in query.items() if value}

    def address(offset: int) -> str:
        return f"/skills?{urlencode(given | ({'offset': offset} if offset else {}))}"

    end = page.offset + len(page.items)
    return {
        "rows": [(card, by_skill.get(card.skill.id, [])) for card in page.items],
        "page": page,
        "chosen": chosen,
        "is_filtered": bool({**given, "per": ""}.keys() - {"per"}),
        "here": address(page.offset),
        "first": address(0),
        "previous": address(max(page.offset - page.limit, 0)) if page.offset else "",
        "next": address(end) if end < page.total else "",
        "categories": _list_options(choices[0]),
        "risks": _list_options(choices[1]),
        "page_sizes": [(size, str(size)) for size in PAGE_SIZES],
        "get_risk_tone": get_risk_tone,
    }


def _list_options(names: Sequence[str]) -> list[tuple[str, str]]:
    return [("", _("All")), *((name, name) for name in names), (UNCATEGORIZED, _("None"))]
