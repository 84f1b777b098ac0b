"""Settings from the environment, and the errors for invalid values."""

import re
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from core.config.settings import InvalidSetting, Settings

ROOT = Path(__file__).parent.parent.parent
CONFIGURATION = (ROOT / "docs/configuration.md").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
OUTSIDE_THE_CLASS = {"MC_ENV_FILE", "MC_SECRETS_DIR", "MC_PG_ELSEWHERE"}
"""What is needed before settings are loaded."""
STRONG = "0123456789" * 5
SECRET = "hunter2"


@pytest.fixture(autouse=True)
def unset_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("MC_ENV_FILE", "/dev/null")


def list_documented_settings() -> dict[str, str]:
    """Return the settings that docs/configuration.md lists, with their defaults."""
    found = re.findall(r"^\| `([A-Z_]+)` \| ([^|]*) \|", CONFIGURATION, re.MULTILINE)
    return {name: default.strip().strip("`") for name, default in found}


def test_no_setting_is_required() -> None:
    settings = Settings.load()
    assert settings.base_url == "http://127.0.0.1:8000"
    assert settings.data_dir == ROOT / ".data"
    assert not settings.database_url


def test_settings_created_directly_ignore_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORT", "9000")
    assert Settings().port == 8000
    assert Settings.load().port == 9000


def test_options_override_the_environment_which_overrides_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / ".env"
    file.write_text("PORT=9001\nSESSION_DAYS=7\nSOMETHING_ELSE=1\n")
    monkeypatch.setenv("MC_ENV_FILE", str(file))
    monkeypatch.setenv("PORT", "9002")
    assert Settings.load().session_days == 7
    assert Settings.load().port == 9002
    assert Settings.load(port=9003, host=None).port == 9003


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "many"),
        ("PORT", "70000"),
        ("BASE_URL", "example.com"),
        ("BASE_URL", "https://example.com/?a=b"),
        ("BASE_URL", "https://example.com example.com"),
        ("BASE_URL", "https://example.com:99999"),
        ("DATA_DIR", "~account-without-home/data"),
        ("DATABASE_URL", f"mysql://me:{SECRET}@db/x"),
        ("DATABASE_URL", f"postgresql://me:{SECRET}@db"),
        ("DATABASE_URL", f"postgresql://me:1/{SECRET}@db/x"),
        ("DATABASE_URL", f"postgresql://me:{SECRET}/1@db/x"),
        ("DATABASE_URL", f"postgresql://me:{SECRET}#1@db/x"),
        ("DATABASE_URL", f"postgresql://me:{SECRET}[1]@db/x"),
        ("DATABASE_URL", f"postgresql://me:{SECRET}\N{ACCOUNT OF}@db/x"),
        ("DATABASE_URL", f"postgresql://me:{SECRET}@db:port/x"),
        ("DATABASE_URL", f"postgresql://me:{SECRET}@db:5432,other:65536/x"),
        ("DATABASE_DIRECT_URL", f"postgresql://me:1/{SECRET}@db/x"),
        ("AUTH_MODE", "clerk"),
        ("LOCAL_AUTH_TOKEN", SECRET),
        ("LOCAL_AUTH_TOKEN", "replace-with-strong-random-token"),
        ("SECRET_KEY", SECRET),
        ("SECRET_KEY", "change-me"),
        ("GATEWAY_ALLOW_PRIVATE", "10.0.0.0/8,here"),
        ("SESSION_DAYS", "0"),
        ("AGENT_OFFLINE_AFTER", "-1"),
        ("RATE_LIMIT_REQUESTS", "none"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,here"),
        ("CORS_ORIGINS", "https://a.example, b.example"),
        ("MC_PG_OPTIONS", "shared_buffers 256MB"),
        ("MC_PG_OPTIONS", "log_line_prefix='"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("DB_AUTO_MIGRATE", "perhaps"),
    ],
)
def test_an_invalid_value_names_the_setting_without_secrets(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSetting, match=rf"^{name} [^\n]+\.$") as error_info:
        Settings.load()
    assert SECRET not in str(error_info.value)


def test_all_invalid_values_are_named_in_plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "PORT": ("many", "must be a whole number"),
        "DB_AUTO_MIGRATE": ("perhaps", "must be true or false"),
        "AUTH_MODE": ("clerk", "must be accounts or local"),
        "OIDC_LEEWAY": ("x", "must be a number"),
        "SESSION_DAYS": ("0", "must be 1 or more"),
        "SESSION_IDLE_DAYS": ("9999", "must be 3650 or less"),
        "AGENT_OFFLINE_AFTER": ("-1", "must be more than 0"),
        "RATE_LIMIT_REQUESTS": ("1.5", "must be a whole number"),
        "SMTP_SECURITY": ("x", "must be starttls, tls or none"),
        "CORS_ORIGINS": ("it's", "must list origins like https://app.example.com, not it's"),
    }
    for name, (value, _) in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSetting) as error_info:
        Settings.load()
    named = [f"{name} {text}." for name, (_, text) in given.items()]
    assert sorted(str(error_info.value).splitlines()) == sorted(named)


def test_local_mode_needs_a_strong_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_MODE", "local")
    with pytest.raises(InvalidSetting, match=r"^LOCAL_AUTH_TOKEN"):
        Settings.load()
    monkeypatch.setenv("LOCAL_AUTH_TOKEN", STRONG)
    assert Settings.load().local_auth_token == STRONG


OIDC = {
    "OIDC_ISSUER": "https://id.example.com/realms/team/",
    "OIDC_CLIENT_ID": "mission-control",
    "OIDC_CLIENT_SECRET": SECRET,
}


@pytest.mark.parametrize(
    ("changed", "expected_name"),
    [
        ({"OIDC_CLIENT_ID": ""}, "OIDC_CLIENT_ID"),
        ({"OIDC_CLIENT_SECRET": ""}, "OIDC_CLIENT_SECRET"),
        ({"OIDC_ISSUER": ""}, "OIDC_CLIENT_ID"),
        ({"OIDC_ISSUER": "", "OIDC_CLIENT_ID": ""}, "OIDC_CLIENT_SECRET"),
        ({"OIDC_ISSUER": "http://id.example.com"}, "OIDC_ISSUER"),
        ({"OIDC_ISSUER": "id.example.com"}, "OIDC_ISSUER"),
        ({"OIDC_ISSUER": "https://id.example.com/?a=b"}, "OIDC_ISSUER"),
        ({"OIDC_LEEWAY": "-1"}, "OIDC_LEEWAY"),
        ({"OIDC_NAME": "x" * 61}, "OIDC_NAME"),
    ],
)
def test_an_oidc_provider_needs_all_its_settings(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], expected_name: str
) -> None:
    for name, value in (OIDC | changed).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSetting, match=rf"(?m)^{expected_name} .+\.$") as error_info:
        Settings.load()
    assert SECRET not in str(error_info.value)


@pytest.mark.parametrize("issuer", [OIDC["OIDC_ISSUER"], "http://127.0.0.1:3000", "http://[::1]"])
def test_an_oidc_issuer_is_not_normalized(monkeypatch: pytest.MonkeyPatch, issuer: str) -> None:
    for name, value in (OIDC | {"OIDC_ISSUER": issuer, "OIDC_AUDIENCE": "a, b"}).items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert settings.oidc_issuer == issuer
    assert settings.oidc_name in issuer
    assert settings.oidc_audience == ("a", "b")
    assert SECRET not in repr(settings)


def test_the_repr_of_settings_contains_no_secrets() -> None:
    settings = Settings(
        database_url=f"postgresql://me:{SECRET}@db/x",
        auth_mode="local",
        local_auth_token=STRONG,
        secret_key=STRONG[::-1],
    )
    assert STRONG[::-1] not in repr(settings)
    assert SECRET not in repr(settings)
    assert STRONG not in repr(settings)


def test_a_blank_value_is_unset_but_disables_a_security_header(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PORT", "DATABASE_URL", "SECURITY_HEADER_X_FRAME_OPTIONS"):
        monkeypatch.setenv(name, "")
    settings = Settings.load()
    assert (settings.port, settings.database_url) == (8000, "")
    assert settings.security_header_x_frame_options == ""


def test_list_settings_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", "10.0.0.0/8, ::1")
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example/,http://localhost:3000")
    settings = Settings.load()
    assert list(map(str, settings.trusted_proxies)) == ["10.0.0.0/8", "::1/128"]
    assert settings.cors_origins == ("https://a.example", "http://localhost:3000")


def test_private_networks_are_listed_or_all_or_none_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = {}
    for value in ("10.1.0.0/16, ::1", "true", "False", ""):
        monkeypatch.setenv("GATEWAY_ALLOW_PRIVATE", value)
        found[value] = list(map(str, Settings.load().gateway_allow_private))
    assert found["10.1.0.0/16, ::1"] == ["10.1.0.0/16", "::1/128"]
    assert {"127.0.0.0/8", "192.168.0.0/16", "fc00::/7"} <= set(found["true"])
    assert found["False"] == []
    assert found[""] == ["127.0.0.0/8", "::1/128"]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_the_driver_in_a_database_url_is_replaced(scheme: str) -> None:
    settings = Settings(database_url=f"{scheme}://me:p%40ss@db:5433/x?sslmode=require")
    assert settings.dsn == "postgresql://me:p%40ss@db:5433/x?sslmode=require"
    assert make_url(settings.sqlalchemy_url).query == {"dsn": settings.dsn}


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("0.0.0.0", "http://127.0.0.1:81"),
        ("::", "http://[::1]:81"),
        ("mission.example", "http://mission.example:81"),
    ],
)
def test_the_base_url_follows_host_and_port(host: str, address: str) -> None:
    assert Settings(host=host, port=0).with_bound_port(81).base_url == address


def test_a_configured_base_url_is_kept() -> None:
    settings = Settings(base_url="https://mission.example/", port=0).with_bound_port(81)
    assert settings.base_url == "https://mission.example"


def test_the_documentation_lists_every_setting() -> None:
    assert (
        set(list_documented_settings())
        == {name.upper() for name in Settings.model_fields} | OUTSIDE_THE_CLASS
    )


def test_the_documented_defaults_are_correct(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, default in list_documented_settings().items():
        if name in OUTSIDE_THE_CLASS or not default or default.startswith("*"):
            continue  # blank, or described in words
        monkeypatch.setenv(name, default)
        loaded, default_settings = Settings.load(), Settings()
        assert getattr(loaded, name.lower()) == getattr(default_settings, name.lower()), name
        monkeypatch.delenv(name)


def test_the_example_file_names_only_existing_settings() -> None:
    names = set(re.findall(r"^#?\s?([A-Z_]+)=", EXAMPLE, re.MULTILINE))
    assert names
    assert names <= {name.upper() for name in Settings.model_fields}


def test_the_example_file_disables_no_protection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S18."""
    file = tmp_path / "settings.env"
    file.write_text(EXAMPLE)
    monkeypatch.setenv("MC_ENV_FILE", str(file))
    assert Settings.load().model_dump() == Settings().model_dump()
    assert "SECURITY_HEADER" not in EXAMPLE


def test_an_invalid_line_of_the_file_is_named_in_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.env"
    file.write_text("PORT=8304\nthis is not a setting\n")
    monkeypatch.setenv("MC_ENV_FILE", str(file))
    with pytest.raises(InvalidSetting, match=r"Line 2 of .* is not of the form NAME=value\."):
        Settings.load()


def test_a_missing_file_of_settings_is_an_error_if_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MC_ENV_FILE", str(tmp_path / "mission.env"))
    with pytest.raises(InvalidSetting, match=r"MC_ENV_FILE is .*mission\.env, and there is no"):
        Settings.load()


def test_a_file_in_the_folder_of_secrets_is_the_value_of_a_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret_key").write_text("0123456789abcdef" * 4 + "\n")
    (tmp_path / "DATABASE_URL").write_text("postgresql://db/mission\n")
    (tmp_path / "oidc_issuer").write_text("\n")
    (tmp_path / "other").write_text("1")
    monkeypatch.setenv("MC_SECRETS_DIR", str(tmp_path))
    settings = Settings.load()
    assert settings.secret_key == "0123456789abcdef" * 4
    assert (settings.database_url, settings.oidc_issuer) == ("postgresql://db/mission", "")
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/other")
    assert Settings.load().database_url == "postgresql://db/other"


def test_secrets_that_cannot_be_read_stop_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MC_SECRETS_DIR", str(tmp_path / "none"))
    with pytest.raises(InvalidSetting, match=r"^MC_SECRETS_DIR is .*/none, and there is no such"):
        Settings.load()
    monkeypatch.setenv("MC_SECRETS_DIR", str(tmp_path))
    (tmp_path / "secret_key").write_bytes(b"\xff" * 40)
    with pytest.raises(InvalidSetting, match=r"^A file in .* is not valid: 'utf-8' codec"):
        Settings.load()
    (tmp_path / "secret_key").unlink()
    (tmp_path / "Secret_Key").mkdir()  # what a container mounts if there is no such file
    with pytest.raises(InvalidSetting, match=r"^/.*/Secret_Key must be a file with the value"):
        Settings.load()
