"""ETag, If-Match and If-None-Match: which version of a thing is meant (RFC 9110, 8.8.3 and 13).

A tag is `"<version>-<print of the answer>"`. The version decides whether somebody may change a
thing, for only changes of the thing itself count then. The print makes the tag a strong one: what
an answer shows besides, as the names of its labels, may change without the version.
"""

import hashlib
import re

from starlette.requests import Request
from starlette.responses import Response

from kit.versions import Known

TAG = re.compile(r'(W/)?"([!#-~\x80-\xff]*)"')
LONGEST_VERSION = 10  # digits
PRINT = 16  # hex digits


def known_versions(request: Request) -> Known:
    """Return the versions in If-Match. Without it, or with `*`, any will do. Weak ones never do."""
    given = request.headers.getlist("If-Match")
    if not given or [one.strip() for one in given] == ["*"]:
        return None
    tags = TAG.findall(", ".join(given))
    versions = [tag.partition("-")[0] for weak, tag in tags if not weak]
    return {int(one) for one in versions if _is_number(one)}


def tagged(request: Request, response: Response, version: int) -> Response:
    """Put the ETag on an answer; or, if the reader has that one already, answer 304 without it."""
    told = hashlib.sha256(bytes(response.body)).hexdigest()[:PRINT]
    tag = f'"{version}-{told}"'
    if request.method in ("GET", "HEAD") and _has(request, tag):
        return Response(status_code=304, headers={"ETag": tag})
    response.headers["ETag"] = tag
    return response


def _has(request: Request, tag: str) -> bool:
    given = ", ".join(request.headers.getlist("If-None-Match"))
    return given.strip() == "*" or any(f'"{known}"' == tag for _, known in TAG.findall(given))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= LONGEST_VERSION
