"""What else happens when something changes: the handlers of all hooks.

A domain imports only domains below it, so it does not call those above. Handlers run in the
transaction of the change; an exception ends it. Every process that changes data imports this
module: the server, the worker, the commands and the tests. Nothing in `services` imports it.
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
events.EVENTS_RECORDED.handler = notifications.notify_about_events

# An organization is created: it has the default packs of skills.
organizations.ORGANIZATION_CREATION.handler = skills.add_default_packs

# A member is removed, leaves or gets other rights, or an account is deleted: the tasks that
# the user can no longer read are unassigned.
organizations.ACCESS_LOSS.handler = tasks.unassign_former_readers

# A board is deleted: its agents are removed from their gateways. The database deletes the rest.
boards.BOARD_DELETION.handler = agents.remove_board_agents

# A board is given another gateway, or none: the tasks of agents that manage others are unassigned.
boards.BOARD_GATEWAY_CHANGE.handler = tasks.unassign_gateway_agents

# An agent is deleted, or moved to another board: its tasks there return to the inbox.
agents.AGENT_DEPARTURE.handler = tasks.unassign_departing_agent

# A policy is replaced: undecided tool calls that it allows now are approved.
policies.POLICY_CHANGE.handler = tool_calls.allow_undecided_calls
