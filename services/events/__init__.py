"""Events: writing down what happened, and following it as it happens."""

from services.events.following import Feed
from services.events.recording import Happened, after, before, latest, record, record_all

__all__ = ["Feed", "Happened", "after", "before", "latest", "record", "record_all"]
