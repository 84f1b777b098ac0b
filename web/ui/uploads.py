"""Read a form with an uploaded file. The whole request has at most MAX_BODY_SIZE bytes."""

from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from core.errors import Invalid
from core.http.request import MAX_BODY_SIZE
from web.ui.forms import Form
from web.ui.translation import _

UPLOAD_ENCODING = "multipart/form-data"
MAX_UPLOAD_FIELDS = 20
"""Fields of a form with a file; the file is one more."""


async def read_upload(request: Request, name: str) -> tuple[Form, bytes]:
    """Return the submitted fields, and the content of the file; empty if none was chosen.

    Raises Invalid if it is not such a form.
    """
    encoding = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if encoding != UPLOAD_ENCODING:
        raise Invalid("not_a_form", _("Send the form as %(encoding)s.", encoding=UPLOAD_ENCODING))
    try:
        async with request.form(
            max_files=1, max_fields=MAX_UPLOAD_FIELDS, max_part_size=MAX_BODY_SIZE
        ) as parsed:
            values: dict[str, list[str]] = {}
            content = b""
            for field, value in parsed.multi_items():
                if not isinstance(value, UploadFile):
                    values.setdefault(field, []).append(value)
                elif field == name:
                    content = await value.read()
    except (HTTPException, MultiPartException, FormParserError, KeyError, ValueError):
        raise Invalid("not_a_form", _("This form cannot be read.")) from None
    return Form(values), content
