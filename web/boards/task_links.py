"""Links of tasks to code hosts, as cards and the page of a task show them."""

from typing import NamedTuple

from models import LinkKind, TaskLink
from services.forges import ChangeState, CheckStatus
from services.tasks import LinkRef
from web.ui.translation import N_, pgettext, translate

STATE_ICONS = {
    ChangeState.OPEN: "git-pull-request",
    ChangeState.DRAFT: "git-pull-request-draft",
    ChangeState.MERGED: "git-merge",
    ChangeState.CLOSED: "git-pull-request-closed",
}
CHECK_ICONS = {
    CheckStatus.PASSING: "circle-check",
    CheckStatus.FAILING: "circle-x",
    CheckStatus.RUNNING: "circle-dashed",
}
CHECK_NAMES = {
    CheckStatus.PASSING: N_("Checks pass"),
    CheckStatus.FAILING: N_("Checks fail"),
    CheckStatus.RUNNING: N_("Checks run"),
}


class LinkLabel(NamedTuple):
    """A link to a code host, with its texts."""

    icon: str
    reference: str
    title: str
    url: str
    state: str
    state_name: str
    checks_state: str = ""
    checks_icon: str = ""
    checks_name: str = ""


def label_link(link: LinkRef | TaskLink) -> LinkLabel:
    """Return a link with its texts."""
    checks = link.checks_state
    return LinkLabel(
        _find_icon(link.kind, link.state),
        link.title if link.kind == LinkKind.CHECK else link.reference,
        link.reference if link.kind == LinkKind.CHECK else link.title,
        link.url,
        link.state,
        name_state(link.state),
        *((checks, CHECK_ICONS[CheckStatus(checks)]) if checks else ("", "")),
        translate(CHECK_NAMES[CheckStatus(checks)]) if checks else "",
    )


def _find_icon(kind: str, state: str) -> str:
    if kind == LinkKind.CHECK:
        return CHECK_ICONS[CheckStatus(state)]
    if kind == LinkKind.CHANGE:
        return STATE_ICONS[ChangeState(state)]
    return "circle-dot" if state == ChangeState.OPEN else "circle-check"


def name_state(state: str) -> str:
    """Return the name of the state of an issue, a pull request or a check."""
    names = {
        # Translators: the state of an issue or a pull request
        "open": pgettext("pull request", "Open"),
        "draft": pgettext("pull request", "Draft"),
        "merged": pgettext("pull request", "Merged"),
        "closed": pgettext("pull request", "Closed"),
        # Translators: the state of a check, such as the tests of a commit
        "passing": pgettext("check", "Passes"),
        "failing": pgettext("check", "Fails"),
        "running": pgettext("check", "Runs"),
    }
    return names.get(state, state)
