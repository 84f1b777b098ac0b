"""What is set from outside, by environment variables or the file `.env`.

A field has the name of its variable in small letters. docs/configuration.md tells about each.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv.parser import parse_stream
from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.functional_validators import AfterValidator
from pydantic_settings import BaseSettings, NoDecode

from kit import setting_values as values

TOP = Path(__file__).parent.parent
SHORTEST_KEY = 32  # characters of SECRET_KEY
SHORTEST_TOKEN = 50  # characters of LOCAL_AUTH_TOKEN (contract, 1.14)
PLACEHOLDERS = {"change-me", "changeme", "replace-me", "replace-with-strong-random-token"}

Networks = Annotated[tuple[values.Network, ...], NoDecode, BeforeValidator(values.networks)]
Private = Annotated[tuple[values.Network, ...], NoDecode, BeforeValidator(values.private_networks)]
Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(values.origins)]
Options = Annotated[dict[str, str], NoDecode, BeforeValidator(values.options)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(values.words)]
Folder = Annotated[Path, AfterValidator(lambda path: Path.absolute(path.expanduser()))]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Seconds = Annotated[float, Field(gt=0, le=31_536_000)]


class BadSetting(Exception):
    """A setting makes no sense. Its text is one sentence that names the setting."""


class Settings(BaseModel, frozen=True, validate_default=True, hide_input_in_errors=True):
    """The settings of one process. Made directly, it looks at nothing outside: see `load`."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    base_url: Annotated[str, AfterValidator(values.address)] = Field(
        default_factory=lambda given: values.address_of(
            given.get("host", "127.0.0.1"), given.get("port", 8000)
        )
    )
    data_dir: Folder = TOP / ".data"
    database_url: Annotated[str, AfterValidator(values.database)] = Field(default="", repr=False)
    db_pool_size: int = Field(default=10, ge=1, le=1000)
    db_auto_migrate: bool = True
    mc_pg_bin: Folder | None = None
    mc_pg_options: Options = Field(default_factory=dict)

    secret_key: str = Field(default="", repr=False)
    auth_mode: Literal["accounts", "local"] = "accounts"
    local_auth_token: str = Field(default="", repr=False)
    oidc_issuer: Annotated[str, AfterValidator(values.issuer)] = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = Field(default="", repr=False)
    oidc_name: str = Field(
        default_factory=lambda given: values.host_of(given.get("oidc_issuer", "")), max_length=60
    )
    oidc_audience: Words = ()
    oidc_leeway: float = Field(default=10, ge=0, le=300)
    session_days: int = Field(default=30, ge=1, le=3650)
    agent_offline_after: Seconds = 600
    approval_undo_seconds: float = Field(default=8, ge=0, le=3600)

    rate_limit_failed_auth: Count = 20
    rate_limit_failed_auth_seconds: Seconds = 60
    rate_limit_sign_in: Count = 10
    rate_limit_sign_in_seconds: Seconds = 300
    rate_limit_requests: Count = 600
    rate_limit_requests_seconds: Seconds = 60
    rate_limit_gateways: Count = 120
    rate_limit_pages: Count = 2400  # in as many seconds as requests

    gateway_allow_private: Private = values.THIS_MACHINE
    souls_directory_url: Annotated[str, AfterValidator(values.address_if_any)] = ""
    cors_origins: Origins = ()
    trusted_proxies: Networks = ()
    security_header_x_content_type_options: str = "nosniff"
    security_header_x_frame_options: str = "DENY"
    security_header_referrer_policy: str = "strict-origin-when-cross-origin"
    security_header_permissions_policy: str = ""

    log_level: Annotated[str, AfterValidator(values.level)] = "INFO"
    log_format: Literal["text", "json"] = "text"
    log_use_utc: bool = False
    request_log_slow_ms: int = Field(default=1000, ge=0)
    request_log_include_health: bool = False

    @classmethod
    def load(cls, **options: Any) -> "Settings":
        """Read the environment and `.env`; `options` that are not None win over both.

        Raises BadSetting.
        """
        given = {name: value for name, value in options.items() if value is not None}
        file = Path(os.environ.get("MC_ENV_FILE", TOP / ".env"))
        try:
            _look_for_broken_lines(file)
            return _FromOutside(_env_file=file, **given)
        except ValidationError as error:
            raise BadSetting(_sentence(error)) from None
        except UnicodeDecodeError:
            raise BadSetting(f"The file of settings {file} is not text in UTF-8.") from None

    @property
    def sqlalchemy_url(self) -> str:
        """The database as SQLAlchemy takes it."""
        return values.for_sqlalchemy(self.database_url)

    @property
    def dsn(self) -> str:
        """The database as asyncpg takes it."""
        return self.database_url

    def bound_to(self, port: int) -> "Settings":
        """Return these settings for the port that was really taken."""
        known = {} if "base_url" in self.model_fields_set else {"base_url": self._address(port)}
        return self.model_copy(update={"port": port, **known})

    def with_database(self, url: str) -> "Settings":
        """Return these settings with another database."""
        return self.model_copy(update={"database_url": values.database(url)})

    def _address(self, port: int) -> str:
        return values.address_of(self.host, port)

    @field_validator("secret_key")
    @classmethod
    def _is_long(cls, key: str) -> str:
        if key in PLACEHOLDERS:
            raise ValueError("is only a placeholder: `openssl rand -hex 32` makes a good one")
        if key and len(key) < SHORTEST_KEY:
            raise ValueError(f"must have at least {SHORTEST_KEY} characters")
        return key

    @field_validator("local_auth_token")
    @classmethod
    def _is_strong(cls, token: str, others: ValidationInfo) -> str:
        if token in PLACEHOLDERS:
            raise ValueError("is only a placeholder: `openssl rand -hex 32` makes a good one")
        wanted = token or others.data.get("auth_mode") == "local"
        if wanted and len(token) < SHORTEST_TOKEN:
            raise ValueError(f"must have at least {SHORTEST_TOKEN} characters")
        return token

    @field_validator("oidc_client_id", "oidc_client_secret")
    @classmethod
    def _goes_with_the_issuer(cls, given: str, others: ValidationInfo) -> str:
        if bool(given) != bool(others.data.get("oidc_issuer", given)):
            raise ValueError("must be set when OIDC_ISSUER is, and only then")
        return given


class _FromOutside(BaseSettings, Settings, extra="ignore", env_file_encoding="utf-8"):
    """The same settings, read from the environment and a file."""

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Take a blank value for "not set". Only a security header is switched off by it."""
        return {
            name: value
            for name, value in given.items()
            if value != "" or name.startswith("security_header_")
        }


def _look_for_broken_lines(file: Path) -> None:
    """Raise BadSetting for a line that is no setting: nobody is to believe that it counts."""
    if not file.is_file():
        return
    with file.open(encoding="utf-8") as lines:
        for binding in parse_stream(lines):
            if binding.error:
                line = binding.original.line
                raise BadSetting(f"Line {line} of {file} is not of the form NAME=value.")


def _sentence(error: ValidationError) -> str:
    """Say what is wrong with the first setting that is."""
    fault = error.errors(include_input=False, include_url=False)[0]
    name = str(fault["loc"][0]).upper() if fault["loc"] else "A setting"
    text = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{name} {text.strip('.')}."
