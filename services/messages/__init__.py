"""Messages to agents: an outbox, which agents empty by themselves or a carrier empties for them.

`queue` puts messages into it, and `texts` has what they say. `carrying` brings them to the agents
of a gateway that is held.
"""

from services.messages import texts
from services.messages.carrying import carrying
from services.messages.fates import BATCH, EVENTS, PATIENCE, acknowledge, give_up, retry
from services.messages.handovers import COMMANDS, can_hear
from services.messages.outbox import Draft, LeadOf, queue
from services.messages.reading import for_agent, of_agent, several

__all__ = [
    "BATCH",
    "COMMANDS",
    "EVENTS",
    "PATIENCE",
    "Draft",
    "LeadOf",
    "acknowledge",
    "can_hear",
    "carrying",
    "for_agent",
    "give_up",
    "of_agent",
    "queue",
    "retry",
    "several",
    "texts",
]
