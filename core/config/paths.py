"""Know whether this is a checkout or a wheel, and where its files and data are."""

import os
from pathlib import Path

PROJECT_ROOT = Path(__file__).parents[2]
"""The folder of the packages, templates and migrations: the checkout, or a package of a wheel."""

IS_CHECKOUT = (PROJECT_ROOT / "run").is_file()
COMMAND = "./run" if IS_CHECKOUT else "mission-control"
"""What an operator types before the name of a command."""


def find_data_dir() -> Path:
    """Return the default data folder. It may begin with `~`, since not every account has a home.

    A wheel is replaced by each update, so its data is where the XDG Base Directory Specification
    puts it. A relative path in XDG_DATA_HOME is invalid there, and ignored.
    """
    if IS_CHECKOUT:
        return PROJECT_ROOT / ".data"
    base = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (base if base.is_absolute() else Path("~/.local/share")) / "mission-control"


def find_settings_file() -> Path:
    """Return the file of settings, which need not exist."""
    default = PROJECT_ROOT / ".env" if IS_CHECKOUT else Path("mission-control.env").absolute()
    return Path(os.environ.get("MC_ENV_FILE", default))


def find_secrets_dir() -> Path | None:
    """Return the folder whose files are settings: the name of a file is that of its setting."""
    given = os.environ.get("MC_SECRETS_DIR")
    return Path(given) if given else None
