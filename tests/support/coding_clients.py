"""The programs of coding agents, as their users install and connect them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.fake_model_providers import FakeModels
from tests.support.installed_packages import (
    CACHE,
    PackagesMissing,
    install_npm_packages,
    install_once,
)
from web.ui.assets import STATIC

CLIENT_PROGRAM = STATIC / "clients" / "client.py"
TIMEOUT = 180  # seconds: a first start takes up to 70, and longer on a busy machine
ANSWER_TIMEOUT = 30  # seconds of a hook that is not held long
PACKAGES = {
    "claude": ("@anthropic-ai/claude-code@2.1.332", ".bin/claude"),
    "codex": ("@openai/codex@0.171.0", "@openai/codex-*/vendor/*/*/codex"),
    "gemini": ("@google/gemini-cli@0.61.0", ".bin/gemini"),
    "opencode": ("opencode-ai@1.18.33", ".bin/opencode"),
    "copilot": ("@github/copilot@1.0.102", "@github/copilot-*/copilot"),
}
"""The versions that are tested, and their programs below node_modules."""


def install_client(client: str) -> Path:
    """Return the program of a client, which npm installs once. Raises PackagesMissing."""
    package, pattern = PACKAGES[client]
    folder = CACHE / "mission-control" / package.rpartition("/")[2].replace("@", "-")
    install_once(folder, lambda: install_npm_packages(folder, package, timeout=900))
    program = next(folder.glob(f"node_modules/{pattern}"), None)
    if program is None:
        raise PackagesMissing(f"there is no {pattern} in {folder}/node_modules")
    return program


@dataclass
class ClientMachine:
    """The home of a person who uses one client, its folder of work, and its model."""

    client: str
    program: Path
    models: FakeModels
    home: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.work = self.home / "work"
        self.work.mkdir(parents=True)
        programs = self.home / "bin"
        programs.mkdir()
        (programs / self.client).symlink_to(self.program)
        for path, content in SETTINGS[self.client](self.models.url).items():
            self.write(path, content if isinstance(content, str) else json.dumps(content))

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a shell that uses the model."""
        return {
            "HOME": str(self.home),
            "PATH": f"{self.home / 'bin'}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            # opencode installs packages for its plugins
            "XDG_CACHE_HOME": str(CACHE / "mission-control" / "opencode-cache"),
            **VARIABLES[self.client](self.models.url),
        }

    def write(self, path: str, text: str) -> None:
        """Write a file in the home."""
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def run_program(self, *words: str) -> str:
        """Run client.py, and return what it prints."""
        done = subprocess.run(
            [sys.executable, "-I", str(CLIENT_PROGRAM), *words],
            cwd=self.work,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def connect(self, url: str, token: str, *options: str) -> str:
        """Connect the client to Mission Control, as a person does."""
        where = ("--url", url, "--token", token, "--yes")
        return self.run_program("connect", self.client, *where, *options)

    def start(self, prompt: str, *options: str) -> subprocess.Popen[str]:
        """Start the client with a prompt."""
        number = len(self.processes)
        with (self.home / f"output-{number}").open("w") as output:
            process = subprocess.Popen(
                [self.client, *COMMANDS[self.client](prompt), *options],
                executable=self.home / "bin" / self.client,
                cwd=self.work,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self.processes.append(process)
        return process

    def finish(self, process: subprocess.Popen[str]) -> str:
        """Wait until the client has ended, and return what it has written."""
        process.wait(TIMEOUT)
        return (self.home / f"output-{self.processes.index(process)}").read_text()

    def run(self, prompt: str, *options: str) -> str:
        """Run the client with a prompt, and return what it writes."""
        return self.finish(self.start(prompt, *options))

    def close(self) -> None:
        """Kill what is running."""
        for process in self.processes:
            process.kill()
            process.wait()


def build_claude_variables(url: str) -> dict[str, str]:
    return {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_AUTH_TOKEN": "none",
        "ANTHROPIC_MODEL": "claude-fake-1",
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": "claude-fake-1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "OTEL_LOGS_EXPORT_INTERVAL": "1000",
    }


def build_codex_config(url: str) -> str:
    return f"""
model = "gpt-fake-1"
model_provider = "fake"
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false

[model_providers.fake]
name = "Fake"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "FAKE_KEY"
request_max_retries = 0
stream_max_retries = 0
"""


GEMINI_SETTINGS = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "general": {"enableAutoUpdate": False},
    "privacy": {"usageStatisticsEnabled": False},
}


def build_opencode_config(url: str) -> dict[str, Any]:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Fake",
        "options": {"baseURL": f"{url}/v1", "apiKey": "none"},
        "models": {"fake-1": {"tool_call": True, "limit": {"context": 200_000, "output": 8_000}}},
    }
    return {
        "model": "fake/fake-1",
        "small_model": "fake/fake-1",
        "autoupdate": False,
        "share": "disabled",
        "provider": {"fake": provider},
        "permission": {"bash": "allow"},
    }


SETTINGS: dict[str, Callable[[str], dict[str, Any]]] = {
    "claude": lambda url: {
        ".claude.json": {"hasCompletedOnboarding": True},
        ".claude/settings.json": {"permissions": {"allow": ["Bash"]}},
    },
    "codex": lambda url: {".codex/config.toml": build_codex_config(url)},
    "gemini": lambda url: {".gemini/settings.json": GEMINI_SETTINGS},
    "opencode": lambda url: {".config/opencode/opencode.json": build_opencode_config(url)},
    "copilot": lambda url: {},
}
"""The settings that a client has before it is connected."""

VARIABLES: dict[str, Callable[[str], dict[str, str]]] = {
    "claude": build_claude_variables,
    "codex": lambda url: {"FAKE_KEY": "none"},
    "gemini": lambda url: {
        "GEMINI_API_KEY": "none",
        "GOOGLE_GEMINI_BASE_URL": url,
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
        "GEMINI_CLI_NO_RELAUNCH": "true",
    },
    "opencode": lambda url: {
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    },
    "copilot": lambda url: {
        "COPILOT_PROVIDER_BASE_URL": f"{url}/v1",
        "COPILOT_PROVIDER_API_KEY": "none",
        "COPILOT_MODEL": "gpt-fake-1",
        "COPILOT_OFFLINE": "true",
        "COPILOT_AUTO_UPDATE": "false",
    },
}

COMMANDS: dict[str, Callable[[str], list[str]]] = {
    "claude": lambda prompt: ["-p", prompt, "--output-format", "stream-json", "--verbose"],
    "codex": lambda prompt: ["exec", "--skip-git-repo-check", "--json", prompt],
    "gemini": lambda prompt: [
        *("-m", "gemini-2.5-pro", "--approval-mode", "yolo"),
        *("--output-format", "stream-json", "-p", prompt),
    ],
    "opencode": lambda prompt: ["run", "--format", "json", prompt],
    "copilot": lambda prompt: [
        *("-p", prompt, "--allow-all-tools", "--no-color", "--output-format", "json")
    ],
}
