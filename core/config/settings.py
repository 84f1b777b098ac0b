"""Define the settings, read from environment variables and the file of settings.

The name of a field is the name of its variable in lower case. docs/configuration.md describes all.
"""

import os
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

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
from pydantic_settings import BaseSettings, NoDecode, SettingsError

from core.config import parsers as values
from core.config.paths import find_data_dir, find_secrets_dir, find_settings_file

MIN_KEY_LENGTH = 32  # characters of SECRET_KEY and METRICS_TOKEN
MIN_TOKEN_LENGTH = 50  # characters of LOCAL_AUTH_TOKEN, as in the original
PLACEHOLDERS = {"change-me", "changeme", "replace-me", "replace-with-strong-random-token"}

Networks = Annotated[tuple[values.Network, ...], NoDecode, BeforeValidator(values.parse_networks)]
Private = Annotated[
    tuple[values.Network, ...], NoDecode, BeforeValidator(values.parse_private_networks)
]
Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(values.parse_origins)]
Options = Annotated[dict[str, str], NoDecode, BeforeValidator(values.parse_postgres_options)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(values.parse_word_list)]
Folder = Annotated[Path, AfterValidator(values.expand_folder)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Seconds = Annotated[float, Field(gt=0, le=31_536_000)]


class InvalidSetting(Exception):
    """Settings are invalid. The text has one line for each, a sentence that names it."""


FAULT_TEXTS = {
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "bool_parsing": "must be true or false",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "literal_error": "must be {expected}",
    "string_too_long": "must have at most {max_length} characters",
    "value_error": "{error}",
}
"""The texts for the types of errors of pydantic, which complete a sentence with the setting."""


class Settings(BaseModel, frozen=True, validate_default=True, hide_input_in_errors=True):
    """The settings of one process; only `load` reads the environment."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=64)  # processes of `./run`
    base_url: Annotated[str, AfterValidator(values.parse_base_url)] = Field(
        default_factory=lambda given: values.local_address(
            given.get("host", "127.0.0.1"), given.get("port", 8000)
        )
    )
    data_dir: Folder = Field(default_factory=find_data_dir)
    database_url: Annotated[str, AfterValidator(values.parse_database_url)] = Field(
        default="", repr=False
    )
    database_direct_url: Annotated[str, AfterValidator(values.parse_database_url)] = Field(
        default="", repr=False
    )
    db_pool_size: int = Field(default=10, ge=1, le=1000)
    db_auto_migrate: bool = True
    mc_pg_bin: Folder | None = None
    mc_pg_options: Options = Field(default_factory=dict)

    secret_key: str = Field(default="", repr=False)
    secret_key_previous: str = Field(default="", repr=False)
    auth_mode: Literal["accounts", "local"] = "accounts"
    local_auth_token: str = Field(default="", repr=False)
    oidc_issuer: Annotated[str, AfterValidator(values.parse_issuer)] = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = Field(default="", repr=False)
    oidc_name: str = Field(
        default_factory=lambda given: values.get_host(given.get("oidc_issuer", "")), max_length=60
    )
    oidc_audience: Words = ()
    oidc_leeway: float = Field(default=10, ge=0, le=300)
    session_days: int = Field(default=30, ge=1, le=3650)
    session_idle_days: int = Field(default=14, ge=1, le=3650)
    agent_offline_after: Seconds = 600
    approval_undo_seconds: float = Field(default=8, ge=0, le=3600)
    trash_retention_days: int = Field(default=30, ge=1, le=3650)
    audit_retention_days: int = Field(default=365, ge=30, le=36_500)
    event_retention_days: Annotated[int, AfterValidator(values.check_retention)] = 0
    message_retention_days: Annotated[int, AfterValidator(values.check_retention)] = 0
    run_retention_days: int = Field(default=30, ge=1, le=3650)

    rate_limit_failed_auth: Count = 20
    rate_limit_failed_auth_seconds: Seconds = 60
    rate_limit_sign_in: Count = 10
    rate_limit_sign_in_seconds: Seconds = 300
    rate_limit_sign_in_delay: float = Field(default=10, gt=0, le=60)  # seconds
    rate_limit_requests: Count = 600
    rate_limit_requests_seconds: Seconds = 60
    rate_limit_webhooks: Count = 60  # in as many seconds as requests
    rate_limit_gateways: Count = 120
    rate_limit_streams: Count = 1200
    rate_limit_pages: Count = 2400  # in as many seconds as requests

    webhook_max_payload_bytes: int = Field(default=1_048_576, ge=1, le=16_777_216)
    webhook_retention_days: int = Field(default=30, ge=1, le=3650)
    gateway_allow_private: Private = values.LOOPBACK_NETWORKS
    gateway_private_for_all: bool = False
    outbound_allow_private: Private = ()
    services_allow_private: Private = ()
    souls_directory_url: Annotated[str, AfterValidator(values.parse_optional_address)] = ""
    smtp_host: str = ""
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_port: int = Field(
        default_factory=lambda given: values.SMTP_PORTS[given.get("smtp_security", "starttls")],
        ge=1,
        le=65535,
    )
    smtp_username: str = ""
    smtp_password: str = Field(default="", repr=False)
    smtp_from: Annotated[str, AfterValidator(values.parse_mailbox)] = ""
    cors_origins: Origins = ()
    trusted_proxies: Networks = ()
    security_header_x_content_type_options: str = "nosniff"
    security_header_x_frame_options: str = "DENY"
    security_header_referrer_policy: str = "strict-origin-when-cross-origin"
    security_header_permissions_policy: str = ""

    app_env: Literal["production", "development"] = "production"  # which has pages for developers
    log_level: Annotated[str, AfterValidator(values.parse_log_level)] = "INFO"
    log_format: Literal["text", "json"] = "text"
    log_use_utc: bool = False
    request_log_slow_ms: int = Field(default=1000, ge=0)
    request_log_include_health: bool = False
    metrics_token: str = Field(default="", repr=False)

    @classmethod
    def load(cls, **options: Any) -> "Settings":
        """Read the environment and the files; `options` that are not None take precedence.

        Raises InvalidSetting.
        """
        given = {name: value for name, value in options.items() if value is not None}
        file, secrets = find_settings_file(), find_secrets_dir()
        try:
            _check_env_file(file)
            _check_secrets_dir(secrets)
            return _EnvironmentSettings(_env_file=file, _secrets_dir=secrets, **given)
        except ValidationError as error:
            raise InvalidSetting("\n".join(_describe_faults(error))) from None
        except SettingsError as error:
            raise InvalidSetting(f"A file in {secrets} is not valid: {error.__cause__}.") from None

    @property
    def sqlalchemy_url(self) -> str:
        """The database URL for SQLAlchemy."""
        return values.to_sqlalchemy_url(self.database_url)

    @property
    def dsn(self) -> str:
        """The database URL for asyncpg, which can be that of a connection pooler."""
        return self.database_url

    @property
    def is_pooled(self) -> bool:
        """Whether `dsn` leads to a pooler, which runs each transaction in any of its sessions."""
        return bool(self.database_direct_url)

    @property
    def direct_dsn(self) -> str:
        """The database URL for what needs a session of its own."""
        return self.database_direct_url or self.database_url

    @property
    def offline_after(self) -> timedelta:
        """How long an agent may be silent before it is offline."""
        return timedelta(seconds=self.agent_offline_after)

    @property
    def sub_path(self) -> str:
        """The path of BASE_URL, such as `/mc`; empty if it has none."""
        return urlsplit(self.base_url).path

    @property
    def is_base_url_set(self) -> bool:
        """Whether BASE_URL is set, and not the address to which the server listens."""
        return "base_url" in self.model_fields_set

    def with_bound_port(self, port: int) -> "Settings":
        """Return a copy with the port that was bound."""
        if self.is_base_url_set:
            return self.model_copy(update={"port": port})
        address = values.local_address(self.host, port)
        bound = self.model_copy(update={"port": port, "base_url": address})
        bound.model_fields_set.discard("base_url")
        return bound

    def with_database(self, url: str) -> "Settings":
        """Return a copy with another database URL, without a pooler."""
        update = {"database_url": values.parse_database_url(url), "database_direct_url": ""}
        return self.model_copy(update=update)

    @field_validator("database_direct_url")
    @classmethod
    def _check_direct_url(cls, given: str, others: ValidationInfo) -> str:
        if given and not others.data.get("database_url", given):
            raise ValueError("is only for a DATABASE_URL that leads to a pooler")
        return given

    @field_validator("secret_key", "secret_key_previous", "metrics_token")
    @classmethod
    def _check_secret(cls, key: str) -> str:
        if key in PLACEHOLDERS:
            raise ValueError("is only a placeholder: `openssl rand -hex 32` makes a good one")
        if key and len(key) < MIN_KEY_LENGTH:
            raise ValueError(f"must have at least {MIN_KEY_LENGTH} characters")
        return key

    @field_validator("local_auth_token")
    @classmethod
    def _check_local_auth_token(cls, token: str, others: ValidationInfo) -> str:
        if token in PLACEHOLDERS:
            raise ValueError("is only a placeholder: `openssl rand -hex 32` makes a good one")
        wanted = token or others.data.get("auth_mode") == "local"
        if wanted and len(token) < MIN_TOKEN_LENGTH:
            raise ValueError(f"must have at least {MIN_TOKEN_LENGTH} characters")
        return token

    @field_validator("oidc_client_id", "oidc_client_secret")
    @classmethod
    def _check_oidc_client(cls, given: str, others: ValidationInfo) -> str:
        if bool(given) != bool(others.data.get("oidc_issuer", given)):
            raise ValueError("must be set when OIDC_ISSUER is, and only then")
        return given

    @field_validator("smtp_from")
    @classmethod
    def _check_sender(cls, given: str, others: ValidationInfo) -> str:
        if bool(given) != bool(others.data.get("smtp_host", given)):
            raise ValueError("must be set when SMTP_HOST is, and only then")
        return given

    @field_validator("smtp_password")
    @classmethod
    def _check_mail_password(cls, given: str, others: ValidationInfo) -> str:
        if bool(given) != bool(others.data.get("smtp_username", given)):
            raise ValueError("must be set when SMTP_USERNAME is, and only then")
        return given


class _EnvironmentSettings(BaseSettings, Settings, extra="ignore", env_file_encoding="utf-8"):
    """Read the settings from the environment, a file, and a folder of secrets."""

    @model_validator(mode="before")
    @classmethod
    def _drop_blank_values(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Treat an empty value as not set; for a security header it means disabled."""
        return {
            name: value
            for name, value in given.items()
            if value != "" or name.startswith("security_header_")
        }


def _format(value: object) -> str:
    """Return a limit, the names of choices, or the text of an error."""
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else str(value)
    return value.replace("'", "") if isinstance(value, str) else str(value)


def _describe_faults(error: ValidationError) -> list[str]:
    """Return a sentence for each setting that is not valid."""
    sentences: dict[str, str] = {}
    for fault in error.errors(include_input=False, include_url=False):
        if fault["type"] == "default_factory_not_called":  # it needs a setting that is not valid
            continue
        name, text = str(fault["loc"][0]).upper(), FAULT_TEXTS.get(fault["type"], "is not valid")
        text = text.format(**{key: _format(value) for key, value in fault.get("ctx", {}).items()})
        sentences[name] = f"{name} {text.strip('.')}."
    return list(sentences.values())


def _check_env_file(file: Path) -> None:
    """Raise InvalidSetting for a file or a line that would be ignored silently otherwise."""
    if not file.is_file():
        if os.environ.get("MC_ENV_FILE") and not file.exists():
            raise InvalidSetting(f"MC_ENV_FILE is {file}, and there is no such file.")
        return
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        reason = f"cannot be read: {error.strerror}."
        raise InvalidSetting(f"The file of settings {file} {reason}") from None
    except UnicodeDecodeError:
        raise InvalidSetting(f"The file of settings {file} is not text in UTF-8.") from None
    for binding in parse_stream(StringIO(text)):
        if binding.error:
            line = binding.original.line
            raise InvalidSetting(f"Line {line} of {file} is not of the form NAME=value.")


def _check_secrets_dir(folder: Path | None) -> None:
    """Raise InvalidSetting unless folder and files exist: secrets would be missing silently."""
    if folder is None:
        return
    if not folder.is_dir():
        raise InvalidSetting(f"MC_SECRETS_DIR is {folder}, and there is no such folder.")
    for path in folder.iterdir():
        if path.name.lower() in Settings.model_fields and path.exists() and not path.is_file():
            raise InvalidSetting(f"{path} must be a file with the value of the setting.")
