"""Files that browsers load. Their addresses carry a print of what is in them: they may be kept."""

import hashlib
from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent.parent / "static"


@cache
def asset(path: str) -> str:
    """Return the address of a file in static/. It changes whenever the file does."""
    print_of_it = hashlib.sha256((STATIC / path).read_bytes()).hexdigest()[:10]
    return f"/static/{path}?v={print_of_it}"
