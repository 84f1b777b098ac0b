"""All operations of the API: method, path, handler, allowed callers and dependency."""

from api.routes import (
    activity,
    agent_only,
    agents_and_gateways,
    boards,
    channels,
    memory,
    organizations,
    policies,
    skills,
    webhooks,
)

OPERATIONS = [
    *organizations.OPERATIONS,
    *boards.OPERATIONS,
    *policies.OPERATIONS,
    *webhooks.OPERATIONS,
    *channels.OPERATIONS,
    *skills.OPERATIONS,
    *memory.OPERATIONS,
    *activity.OPERATIONS,
    *agents_and_gateways.OPERATIONS,
    *agent_only.OPERATIONS,
]
