"""What is set from outside, and what is said when it makes no sense."""

import re
from pathlib import Path

import pytest

from kit.settings import BadSetting, Settings

ROOT = Path(__file__).parent.parent.parent
CONFIGURATION = (ROOT / "docs/configuration.md").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
OUTSIDE_THE_CLASS = {"MC_ENV_FILE", "MC_PG_ELSEWHERE"}  # needed before there are any settings
STRONG = "0123456789" * 5
SECRET = "hunter2"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("MC_ENV_FILE", "/dev/null")


def rows() -> dict[str, str]:
    """Return the settings that the page tells about, with their defaults."""
    found = re.findall(r"^\| `([A-Z_]+)` \| ([^|]*) \|", CONFIGURATION, re.MULTILINE)
    return {name: default.strip().strip("`") for name, default in found}


def test_nothing_needs_to_be_set() -> None:
    settings = Settings.load()
    assert settings.base_url == "http://127.0.0.1:8000"
    assert settings.data_dir == ROOT / ".data"
    assert not settings.database_url


def test_settings_that_are_made_directly_look_at_nothing_outside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORT", "9000")
    assert Settings().port == 8000
    assert Settings.load().port == 9000


def test_the_environment_wins_over_the_file_and_an_option_over_both(
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
        ("DATABASE_URL", f"mysql://me:{SECRET}@db/x"),
        ("DATABASE_URL", f"postgresql://me:{SECRET}@db"),
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
def test_a_bad_value_gives_one_sentence_that_names_the_setting_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSetting, match=rf"^{name} [^\n]+\.$") as refused:
        Settings.load()
    assert SECRET not in str(refused.value)


def test_local_mode_needs_a_strong_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_MODE", "local")
    with pytest.raises(BadSetting, match=r"^LOCAL_AUTH_TOKEN"):
        Settings.load()
    monkeypatch.setenv("LOCAL_AUTH_TOKEN", STRONG)
    assert Settings.load().local_auth_token == STRONG


OIDC = {
    "OIDC_ISSUER": "https://id.example.com/realms/team/",
    "OIDC_CLIENT_ID": "mission-control",
    "OIDC_CLIENT_SECRET": SECRET,
}


@pytest.mark.parametrize(
    ("changed", "named"),
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
def test_a_provider_is_set_with_all_that_it_needs_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], named: str
) -> None:
    for name, value in (OIDC | changed).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadSetting, match=rf"^{named} [^\n]+\.$") as refused:
        Settings.load()
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("issuer", [OIDC["OIDC_ISSUER"], "http://127.0.0.1:3000", "http://[::1]"])
def test_a_provider_keeps_the_name_that_it_has(
    monkeypatch: pytest.MonkeyPatch, issuer: str
) -> None:
    for name, value in (OIDC | {"OIDC_ISSUER": issuer, "OIDC_AUDIENCE": "a, b"}).items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert settings.oidc_issuer == issuer
    assert settings.oidc_name in issuer
    assert settings.oidc_audience == ("a", "b")
    assert SECRET not in repr(settings)


def test_secrets_are_not_shown_when_settings_are() -> None:
    settings = Settings(
        database_url=f"postgresql://me:{SECRET}@db/x",
        auth_mode="local",
        local_auth_token=STRONG,
        secret_key=STRONG[::-1],
    )
    assert STRONG[::-1] not in repr(settings)
    assert SECRET not in repr(settings)
    assert STRONG not in repr(settings)


def test_a_blank_value_is_no_value_but_switches_a_security_header_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PORT", "DATABASE_URL", "SECURITY_HEADER_X_FRAME_OPTIONS"):
        monkeypatch.setenv(name, "")
    settings = Settings.load()
    assert (settings.port, settings.database_url) == (8000, "")
    assert settings.security_header_x_frame_options == ""


def test_lists_have_commas_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", "10.0.0.0/8, ::1")
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example/,http://localhost:3000")
    settings = Settings.load()
    assert list(map(str, settings.trusted_proxies)) == ["10.0.0.0/8", "::1/128"]
    assert settings.cors_origins == ("https://a.example", "http://localhost:3000")


def test_private_networks_are_listed_or_all_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for value in ("10.1.0.0/16, ::1", "true", "False", ""):
        monkeypatch.setenv("GATEWAY_ALLOW_PRIVATE", value)
        found[value] = list(map(str, Settings.load().gateway_allow_private))
    assert found["10.1.0.0/16, ::1"] == ["10.1.0.0/16", "::1/128"]
    assert {"127.0.0.0/8", "192.168.0.0/16", "fc00::/7"} <= set(found["true"])
    assert found["False"] == []
    assert found[""] == ["127.0.0.0/8", "::1/128"]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_database_may_name_any_driver_and_gets_ours(scheme: str) -> None:
    settings = Settings(database_url=f"{scheme}://me:p%40ss@db:5433/x?sslmode=require")
    assert settings.dsn == "postgresql://me:p%40ss@db:5433/x?sslmode=require"
    assert settings.sqlalchemy_url == "postgresql+asyncpg://me:p%40ss@db:5433/x?ssl=require"


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("0.0.0.0", "http://127.0.0.1:81"),
        ("::", "http://[::1]:81"),
        ("mission.example", "http://mission.example:81"),
    ],
)
def test_the_address_for_people_follows_host_and_port(host: str, address: str) -> None:
    assert Settings(host=host, port=0).bound_to(81).base_url == address


def test_the_address_for_people_stays_when_it_is_set() -> None:
    settings = Settings(base_url="https://mission.example/", port=0).bound_to(81)
    assert settings.base_url == "https://mission.example"


def test_the_page_about_settings_tells_of_each() -> None:
    assert set(rows()) == {name.upper() for name in Settings.model_fields} | OUTSIDE_THE_CLASS


def test_the_page_about_settings_tells_the_true_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, default in rows().items():
        if name in OUTSIDE_THE_CLASS or not default or default.startswith("*"):
            continue  # blank, or told in words
        monkeypatch.setenv(name, default)
        given, without = getattr(Settings.load(), name.lower()), getattr(Settings(), name.lower())
        assert given == without, name
        monkeypatch.delenv(name)


def test_the_example_names_only_settings_that_exist() -> None:
    named = set(re.findall(r"^#?\s?([A-Z_]+)=", EXAMPLE, re.MULTILINE))
    assert named
    assert named <= {name.upper() for name in Settings.model_fields}


def test_whoever_copies_the_example_switches_nothing_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S18."""
    file = tmp_path / "settings.env"
    file.write_text(EXAMPLE)
    monkeypatch.setenv("MC_ENV_FILE", str(file))
    assert Settings.load().model_dump() == Settings().model_dump()
    assert "SECURITY_HEADER" not in EXAMPLE


def test_a_broken_line_of_the_file_stops_the_start_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.env"
    file.write_text("PORT=8304\nthis is not a setting\n")
    monkeypatch.setenv("MC_ENV_FILE", str(file))
    with pytest.raises(BadSetting, match=r"Line 2 of .* is not of the form NAME=value\."):
        Settings.load()
