"""Souls: the library that ships with the product, and a directory elsewhere, if one is set.

Whoever asks opens the transactions: one to look what is known, then, if that is old, the network is
asked without any, and another keeps what was heard. What is known is served when nobody answers.
"""

from services.souls.asking import ask_for_list, ask_for_soul
from services.souls.finding import SoulEntry, find, search
from services.souls.keeping import is_first_to_ask, keep_list, keep_soul, look
from services.souls.rules import LONGEST_NAME, NAME, Remote, SoulFound, check_names, settled

__all__ = [
    "LONGEST_NAME",
    "NAME",
    "Remote",
    "SoulEntry",
    "SoulFound",
    "ask_for_list",
    "ask_for_soul",
    "check_names",
    "find",
    "is_first_to_ask",
    "keep_list",
    "keep_soul",
    "look",
    "search",
    "settled",
]
