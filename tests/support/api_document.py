"""The OpenAPI document of the API, built once for all tests."""

from api.app import OPERATIONS
from api.openapi.document import build_document

DOCUMENT = build_document(OPERATIONS)
