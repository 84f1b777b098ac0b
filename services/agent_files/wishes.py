"""How an agent is to work: what a person chose for it, in words that an agent can act upon.

The onboarding offers a few words for each wish; whoever writes another one is quoted.
"""

from collections.abc import Mapping

from services.agent_files.plain import line

LONGEST_WISH = 300  # characters

AUTONOMY = {
    "ask_first": "Ask before each step that changes anything beyond a task's comments.",
    "balanced": "Decide what is small and can be undone; ask before all else.",
    "autonomous": "Decide by yourself within the board's rules; ask only where they want it, or"
    " before what leaves the system or cannot be undone.",
}
VERBOSITY = {
    "concise": "Say what matters in a few sentences.",
    "balanced": "Say what matters, and the reasons that somebody may ask for.",
    "detailed": "Give the reasons, the alternatives and the evidence.",
}
OUTPUT_FORMAT = {
    "bullets": "Write lists of short points.",
    "mixed": "Write short paragraphs, and lists where they help.",
    "narrative": "Write connected paragraphs.",
}
UPDATE_CADENCE = {
    "asap": "Report as soon as something changes.",
    "hourly": "Report once an hour while you work.",
    "daily": "Report once a day.",
    "weekly": "Report once a week.",
}
KNOWN: Mapping[str, tuple[str, Mapping[str, str], str]] = {
    "autonomy_level": ("Autonomy", AUTONOMY, "balanced"),
    "verbosity": ("Verbosity", VERBOSITY, "concise"),
    "output_format": ("Output format", OUTPUT_FORMAT, "mixed"),
    "update_cadence": ("Update cadence", UPDATE_CADENCE, "asap"),
}
"""Each wish: its name, what its words mean, and what is meant where nobody has chosen."""


def wishes(own: Mapping[str, str], board: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return name and sentence of each wish: the agent's own, else that of its board's lead."""
    return [
        (name, _sentence(own.get(key) or board.get(key) or usual, meanings))
        for key, (name, meanings, usual) in KNOWN.items()
    ]


def _sentence(chosen: str, meanings: Mapping[str, str]) -> str:
    word = line(chosen, LONGEST_WISH)
    meaning = meanings.get(word.lower().replace("-", "_").replace(" ", "_"))
    return f"{word}. {meaning}" if meaning else word
