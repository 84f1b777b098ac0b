"""`./run stop-agents` and `./run resume-agents`, while the server is running."""

from contextlib import closing

from tests.cli.conftest import run_cli, sign_up_owner
from tests.support.installation import Installation


def test_agents_are_stopped_and_resumed_all_or_by_the_name_of_their_organization(
    installation: Installation,
) -> None:
    with closing(sign_up_owner(installation)) as owner:
        owner.post("/welcome/organization", data={"name": "Tern"})
        data = installation.data_dir
        assert "All agents are stopped" not in owner.get("/boards").text

        stopped = run_cli("stop-agents", "--reason", "A drill.", data=data)

        assert (stopped.returncode, stopped.stderr) == (0, "")
        assert stopped.stdout.splitlines()[-1] == "All agents are stopped: Tern"
        page = owner.get("/settings").text
        assert "<b>All agents are stopped</b> by the command line" in page
        assert "A drill." in page

        resumed = run_cli("resume-agents", "--organization", "Tern", data=data)

        assert resumed.stdout.splitlines()[-1] == "Agents are resumed: Tern"
        assert "<b>All agents are stopped</b>" not in owner.get("/settings").text
        again = run_cli("resume-agents", data=data)
        assert (again.returncode, again.stdout.splitlines()[-1]) == (0, "No agents were stopped.")
        unknown = run_cli("stop-agents", "--organization", "Nobody", data=data)
        assert (unknown.returncode, unknown.stderr) == (1, "There is no such organization.\n")

        owner.post("/organizations", data={"name": "Heron"})
        by_name = ("--organization", "Heron")

        def run(*words: str) -> str:
            return run_cli(*words, data=data).stdout.splitlines()[-1]

        assert run("stop-agents", *by_name) == "All agents are stopped: Heron"
        assert run("stop-agents") == "All agents are stopped: Tern, Heron"
        assert run("resume-agents", *by_name) == "Agents are resumed: Heron"
        assert run("resume-agents") == "Agents are resumed: Tern"
