"""How the contract tests define custom fields of tasks."""

from typing import Any

from tests.api.conftest import Client

FIELDS = "/organizations/me/custom-fields"


async def defined(client: Client, on_launch: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Define a field, and return it."""
    response = await client.post(FIELDS, json={**on_launch, **fields})
    assert response.status_code == 200, response.text
    field: dict[str, Any] = response.json()
    return field
