"""The parts of pages that events make out of date."""

import re
from pathlib import Path

from services.events import EVENT_DEFINITIONS

TEMPLATES = Path(__file__).parents[2] / "templates"
TRIGGER = re.compile(r"(?<=[\", ])([a-z-]+) from:body")
OF_SCRIPTS = {"agent-cards", "notifications", "presence", "rights"}  # not named by an event alone


def test_every_part_that_reloads_itself_is_made_out_of_date_by_an_event() -> None:
    triggers = {
        name for path in TEMPLATES.rglob("*.html") for name in TRIGGER.findall(path.read_text())
    }
    named = {name for one in EVENT_DEFINITIONS.values() for name in one.stale_parts}
    assert len(triggers) > 20
    assert triggers - named - OF_SCRIPTS == set()
