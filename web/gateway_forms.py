"""What people type about a gateway."""

from typing import Annotated

from pydantic import BaseModel, StringConstraints

from services.gateways import GatewayDraft
from web.forms import Line, OrNothing, Switch

Address = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Folder = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000)]
Token = Annotated[Annotated[str, StringConstraints(max_length=4_000)] | None, OrNothing]


class NewGateway(BaseModel):
    """A gateway that somebody has, and how it is reached."""

    name: Line
    url: Address
    workspace_root: Folder
    token: Token = None
    allow_insecure_tls: Switch = False
    disable_device_pairing: Switch = False

    def draft(self) -> GatewayDraft:
        """Return the gateway that is wanted."""
        return GatewayDraft(**self.model_dump())


class ChangedGateway(NewGateway):
    """What a gateway is to be from now on. A token that is left blank stays as it is."""

    without_token: Switch = False

    def changes(self) -> dict[str, object]:
        """Return what is to be stored."""
        wanted = self.model_dump(exclude={"token", "without_token"})
        if self.without_token:
            return wanted | {"token": None}
        return wanted | {"token": self.token} if self.token else wanted
