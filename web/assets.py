"""Files that browsers load. Their addresses carry a print of what is in them: they may be kept."""

import hashlib
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC = Path(__file__).parent.parent / "static"


@cache
def asset(path: str) -> str:
    """Return the address of a file in static/. It changes whenever the file does."""
    print_of_it = hashlib.sha256((STATIC / path).read_bytes()).hexdigest()[:10]
    return f"/static/{path}?v={print_of_it}"


class Assets(StaticFiles):
    """Serves static/. What was asked for with the print of its content may be kept for a year."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer with a file, and say for how long it is good."""
        response = await super().get_response(path, scope)
        printed = b"v" in parse_qs(scope["query_string"])
        kept = "public, max-age=31536000, immutable" if printed else "public, max-age=3600"
        if response.status_code in (200, 304):
            response.headers["Cache-Control"] = kept
        return response
