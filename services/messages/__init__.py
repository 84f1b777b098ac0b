"""Messages to agents: an outbox, which agents empty by themselves or a carrier empties for them.

`queue` puts messages into it, and `texts` has what they say.
"""

from services.messages import texts
from services.messages.outbox import Draft, LeadOf, queue

__all__ = ["Draft", "LeadOf", "queue", "texts"]
