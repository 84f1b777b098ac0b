"""The choice of an assignee: an agent or a person, in forms, menus and filters."""

from collections.abc import Mapping
from uuid import UUID

from core.errors import Invalid
from models import Task
from web.ui.forms import Form, parse_id
from web.ui.translation import N_, _, translate

PERSON_PREFIX = "user:"
UNASSIGNED = "nobody"  # the values of filters that are not ids
ME = "me"
FIXED_NAMES = {ME: N_("Assigned to me"), UNASSIGNED: N_("Unassigned")}


def parse_assignee(form: Form) -> dict[str, UUID | None]:
    """Return the change that assigns a task to an agent, to a person, or to nobody.

    The value is the id of an agent, "user:" and the id of a person, or "" for nobody. Nothing
    changes if the form does not have the field. Raises Invalid for another value.
    """
    if "assignee" not in form.values:
        return {}
    value = form.value("assignee").strip()
    is_person = value.startswith(PERSON_PREFIX)
    id = parse_id(value.removeprefix(PERSON_PREFIX))
    if value and id is None:
        reason = N_("Choose one of those that are offered.")
        raise Invalid("assignee_invalid", reason, field="assignee")
    return {
        "assigned_agent_id": None if is_person else id,
        "assigned_user_id": id if is_person else None,
    }


def format_assignee(task: Task) -> str:
    """Return the value that `parse_assignee` reads for the assignee of a task."""
    if task.assigned_user_id is not None:
        return f"{PERSON_PREFIX}{task.assigned_user_id}"
    return str(task.assigned_agent_id or "")


def name_assignee(value: str, names: Mapping[str, str]) -> str:
    """Return the name of a value of the filter. `names` are those of agents and people by id."""
    fixed = FIXED_NAMES.get(value)
    return translate(fixed) if fixed else names.get(value, _("Unknown"))
