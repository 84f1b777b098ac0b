"""Commands print links with the address of the running server."""

from argparse import Namespace
from pathlib import Path

import pytest

from cli.server_address import (
    FILE_NAME,
    find_address,
    load_linked_settings,
    publish_address,
)
from core.config.settings import Settings

BAD_URL = '{"host": "h", "port": 1, "base_url": "javascript:1"}'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder, without settings of the environment."""
    monkeypatch.setenv("MC_ENV_FILE", "/dev/null")
    for name in ("HOST", "PORT", "BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def build_options(folder: Path, *, host: str | None = None, port: int | None = None) -> Namespace:
    return Namespace(data=folder, host=host, port=port)


def test_links_have_the_address_of_the_running_server(folder: Path) -> None:
    server = Settings(data_dir=folder, host="0.0.0.0", port=8123)
    with publish_address(server):
        linked = load_linked_settings(build_options(folder))
        assert (linked.host, linked.port) == (server.host, 8123)
        assert linked.base_url == server.base_url
        given = load_linked_settings(build_options(folder, port=9000))
        assert given.base_url == "http://127.0.0.1:9000"
    assert find_address(folder) is None
    assert load_linked_settings(build_options(folder)).port == 8000


def test_links_keep_a_configured_address(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE_URL", "https://mission.example.com")
    with publish_address(Settings(data_dir=folder, port=8123)):
        linked = load_linked_settings(build_options(folder))
        assert linked.base_url == "https://mission.example.com"


def test_links_have_the_address_that_only_the_server_was_given(folder: Path) -> None:
    own = "https://mission.example.com/mc"
    with publish_address(Settings(data_dir=folder, port=8123, base_url=own)):
        assert load_linked_settings(build_options(folder)).base_url == own
        given = load_linked_settings(build_options(folder, port=9000))
        assert given.base_url == "http://127.0.0.1:9000"


def test_the_address_of_another_server_is_not_replaced(folder: Path) -> None:
    with publish_address(Settings(data_dir=folder, port=8123)):
        with publish_address(Settings(data_dir=folder, port=8124)):
            assert find_address(folder) == ("127.0.0.1", 8123, "")
        assert find_address(folder) == ("127.0.0.1", 8123, "")


def test_a_server_without_a_data_folder_starts(folder: Path) -> None:
    with publish_address(Settings(data_dir=folder / "missing", port=8123)):
        assert find_address(folder / "missing") is None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "8123", '{"port": "x"}', '{"host": "h"}', BAD_URL]
)
def test_a_damaged_address_is_ignored(folder: Path, content: str) -> None:
    with publish_address(Settings(data_dir=folder, port=8123)):
        (folder / FILE_NAME).write_text(content)
        assert find_address(folder) is None
