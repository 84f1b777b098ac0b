"""Every operation of the API: one line says what it is, who may call it, and what it reaches."""

from api.catalogue import agent_side, boards, fleet, memory, people, watching

OPERATIONS = [
    *people.OPERATIONS,
    *boards.OPERATIONS,
    *memory.OPERATIONS,
    *watching.OPERATIONS,
    *fleet.OPERATIONS,
    *agent_side.OPERATIONS,
]
"""Every operation: method, path, what does it, who may call, where it stands, what it reaches."""
