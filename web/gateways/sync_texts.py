"""Texts about a file synchronization: what is written, what is kept, and what went wrong."""

from typing import Any

from services.gateways import sync
from services.gateways.files import FilePlan, FileState
from services.gateways.sync import AgentSyncReport, SyncProblem
from web.gateways.connection_texts import describe_gateway_error
from web.ui.translation import N_, _, pgettext, translate
from web.ui.unified_diff import parse_diff

PROBLEM_TEXTS = {
    "board_not_selectable": N_("This board is not on this gateway, or you cannot change it."),
    "changed_meanwhile": N_("It was changed or removed meanwhile, so it was left out."),
    "too_late": N_(
        "The gateway took too long to return the files of this agent. Try again for its board only."
    ),
}
"""Texts by the codes of problems that are no errors of a gateway."""


def describe_agent_report(report: AgentSyncReport) -> str:
    """Describe what is written to an agent, and what is kept."""
    if not report.files:
        return _("The gateway had no agent of its own: it is created with its files.")
    kept = [one.name for one in report.files if one.state is FileState.KEPT]
    sentences = [
        "" if report.is_listed else _("The gateway does not have this agent yet: it is created."),
        _describe_written(report),
        _("Changed by the agent, and kept: %(files)s.", files=", ".join(kept)) if kept else "",
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _describe_written(report: AgentSyncReport) -> str:
    written = sum(one.state.is_written for one in report.files)
    if not written:
        return _("Nothing to write.")
    return _("%(count)d of %(total)d files to write.", count=written, total=len(report.files))


def describe_file_state(file: FilePlan) -> str:
    """Return the label of a file that differs."""
    labels = {
        FileState.NEW: pgettext("file", "New"),
        FileState.CHANGED: pgettext("file", "Changed"),
        FileState.KEPT: _("Kept as changed by the agent"),
    }
    return labels[file.state]


def describe_hidden_diff(file: FilePlan) -> str:
    """Describe why the difference of a file is not shown, or return "" if it is shown."""
    if file.diff == sync.HIDDEN_DIFF:
        return _("The file names boards that you cannot read.")
    return "" if file.diff.startswith("---") else _("The file is too long to be compared.")


def describe_sync_problem(problem: SyncProblem) -> str:
    """Describe a problem of a synchronization."""
    text = PROBLEM_TEXTS.get(problem.code)
    if text:
        return translate(text)
    return describe_gateway_error(problem.code, problem.values, problem.message)


SYNC_FUNCTIONS: dict[str, Any] = {
    "describe_agent_report": describe_agent_report,
    "describe_file_state": describe_file_state,
    "describe_hidden_diff": describe_hidden_diff,
    "describe_sync_problem": describe_sync_problem,
    "parse_diff": parse_diff,
    "config_file": sync.CONFIG_FILE,
}
"""What the templates of a synchronization call."""
