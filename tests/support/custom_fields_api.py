"""Create custom fields through the API in contract tests."""

from typing import Any

from tests.support.api_fixtures import Client

FIELDS_PATH = "/organizations/me/custom-fields"


async def create_field(
    client: Client, field_definition: dict[str, Any], **fields: Any
) -> dict[str, Any]:
    """Create a field and return it."""
    response = await client.post(FIELDS_PATH, json={**field_definition, **fields})
    assert response.status_code == 200, response.text
    field: dict[str, Any] = response.json()
    return field
