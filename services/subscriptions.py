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
