"""`./run audit`: list, export and verify, and what the operator did."""

import json
from contextlib import closing
from pathlib import Path

from services import audit
from tests.cli.conftest import OWNER, run_cli, sign_up_owner
from tests.support.installation import Installation


def test_the_operator_exports_and_verifies_the_audit(
    installation: Installation, tmp_path: Path
) -> None:
    with closing(sign_up_owner(installation)):
        data, file = installation.data_dir, tmp_path / "audit.jsonl"
        assert run_cli("password", OWNER["email"], data=data).returncode == 0
        listed = run_cli("audit", "list", data=data)
        assert listed.returncode == 0, listed.stderr
        assert "installation  3 records, head " in listed.stdout
        assert run_cli("backup", str(tmp_path / "backup"), data=data).returncode == 0
        exported = run_cli("audit", "export", "installation", str(file), data=data)
        assert exported.returncode == 0, exported.stderr
    lines = file.read_bytes().splitlines(keepends=True)
    assert audit.verify_export(lines).problem is None
    records = [json.loads(line) for line in lines[1:-1]]
    actors = {record["action"]: (record["actor_kind"], record["credential"]) for record in records}
    operator = ("operator", "command_line")
    assert actors["installation.backup_created"] == operator
    assert actors["audit.exported"] == operator
    assert actors["installation.first_owner_created"] == ("user", "link")
    unknown = run_cli("audit", "export", "nothing", str(file), data=data)
    assert unknown.returncode == 1
    assert unknown.stderr == "nothing is not the id of an organization: ./run audit list\n"
