"""Events: writing down what happened, and following it as it happens."""

from services.events.following import Feed
from services.events.names import author_of, of_gone
from services.events.recording import Happened, after, before, latest, record, record_all

__all__ = [
    "Feed",
    "Happened",
    "after",
    "author_of",
    "before",
    "latest",
    "of_gone",
    "record",
    "record_all",
]
