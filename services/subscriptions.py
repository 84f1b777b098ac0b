"""What else happens when something changes: the handlers of all hooks, in the order they run.

A domain imports only domains below it, so it does not call those above: they subscribe here. All
handlers run in the transaction of the change; an exception ends it. Every process that changes data
imports this module: the server, the worker, the commands and the tests. Nothing in `services`
imports it.
"""

from services import (
    agents,
    boards,
    events,
    notifications,
    organizations,
    policies,
    skills,
    tasks,
    tool_calls,
)

# Events are recorded: `events` has added the audit records, and users are notified.
events.EVENTS_RECORDED.subscribe(
    notifications.notify_about_events,
)

# An organization is created: it has the default packs of skills.
organizations.ORGANIZATION_CREATION.subscribe(
    skills.add_default_packs,
)

# A member is removed, leaves or gets other rights, or an account is deleted: the tasks that the
# user can no longer read are unassigned.
organizations.ACCESS_LOSS.subscribe(
    tasks.unassign_former_readers,
)

# A board is deleted: its agents are removed from their gateways. The database deletes the rest.
boards.BOARD_DELETION.subscribe(
    agents.remove_board_agents,
)

# An agent is deleted, or moved to another board: its tasks there return to the inbox.
agents.AGENT_DEPARTURE.subscribe(
    tasks.unassign_departing_agent,
)

# A policy is replaced: undecided tool calls that it allows now are approved.
policies.POLICY_CHANGE.subscribe(
    tool_calls.allow_undecided_calls,
)

# All agents of an organization are stopped (`organizations.stop_agents`), or those of a board are
# paused: nobody subscribes, what works looks at the state. Agents are refused
# (`boards.check_agent_may_work`), messages wait (`messages/gateway_delivery.py`) and are released
# when the stop ends, runs on gateways are aborted (`gateways/runs/jobs.py`), and gateways get the
# files that say so (`desired_state`).

# A task is completed: nobody subscribes, `tasks.update_task` does it all in one function. The
# approval that allows it is used, tasks that depend on it get an event, comments and messages to
# agents go out, people are notified, and events are recorded last. Final approvals complete their
# tasks with it (`approvals/finalization.py`); `approvals/direct_completions.py` decides and
# completes at once.
