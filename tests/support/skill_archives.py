"""Archives of skill packs, and a host of archives."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field

from core.http.outbound import OutboundClient, OutboundOutcome, OutboundRequest, OutboundResult

REPOSITORY = "https://github.com/tern/skills"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER_COMMIT = "f" * 40
WRITER = "---\nname: Report writer\ndescription: Writes reports.\nrisk: low\n---\n# Report writer\n"
PLANNER = "# Planner\n\nPlans the week.\n"
FILES = {"writer/SKILL.md": WRITER, "writer/style.md": "Short.\n", "planner/SKILL.md": PLANNER}


def make_tar(
    files: Mapping[str, str | bytes], *, commit: str | None = COMMIT, top: str = "skills-main/"
) -> bytes:
    """Make an archive as GitHub makes it."""
    buffer = io.BytesIO()
    headers = {"comment": commit} if commit else {}
    with tarfile.open(
        fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT, pax_headers=headers
    ) as archive:
        for path, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(f"{top}{path}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def make_zip(files: Mapping[str, str | bytes], *, comment: str = "") -> bytes:
    """Make a .zip with these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
        archive.comment = comment.encode()
    return buffer.getvalue()


@dataclass
class ArchiveHost(OutboundClient):
    """Answers requests for archives, instead of the hosts in the network."""

    archives: dict[str, bytes] = field(default_factory=dict)
    results: dict[str, OutboundResult] = field(default_factory=dict)
    requested: list[str] = field(default_factory=list)

    def put(self, files: Mapping[str, str | bytes], *, commit: str = COMMIT) -> None:
        """Serve the archive of the branch main of REPOSITORY."""
        self.archives[f"{REPOSITORY}/archive/main.tar.gz"] = make_tar(files, commit=commit)

    async def send(
        self, request: OutboundRequest, *, allows_private: bool = False
    ) -> OutboundResult:
        """Answer a request."""
        self.requested.append(request.url)
        if request.url in self.results:
            return self.results[request.url]
        if request.url not in self.archives:
            return OutboundResult(OutboundOutcome.REJECTED, 404)
        return OutboundResult(OutboundOutcome.DELIVERED, 200, body=self.archives[request.url])
