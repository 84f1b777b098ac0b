"""Texts of errors about skills and packs, by their codes and causes."""

from collections.abc import Mapping

from web.ui.translation import N_

SKILL_ERROR_TEXTS: Mapping[str, str] = {
    "gateway_agent_missing": N_("This gateway has no agent that could do it."),
    "pack_url_invalid": N_(
        "Enter a repository, such as https://github.com/owner/name, or an https address of an"
        " archive that ends with .zip or .tar.gz."
    ),
    "skill_folder_taken": N_(
        "The skill “%(name)s” has the folder %(folder)s on this gateway. Remove it first."
    ),
    "skill_not_found": N_("There is no such skill."),
    "skill_pack_exists": N_("Another pack has that address."),
    "skill_pack_not_found": N_("There is no such skill pack."),
    "skill_pack_uploaded": N_("This pack was uploaded. Upload a new archive to update it."),
    "skill_url_invalid": N_(
        "Enter an address that begins with https:// or http://, without a name or a password."
    ),
    "skill_url_invalid:too_long": N_("The address is too long."),
    "skill_files_too_large": N_(
        "The files of all skills have at most %(max_size)s MB. Delete skills that you do not need."
    ),
    "too_many_skills": N_(
        "An organization has at most %(max_count)s skills. Delete skills that you do not need."
    ),
    "too_many_skill_packs": N_("An organization has at most %(max_count)s skill packs."),
    "skill_archive_invalid": N_("The archive cannot be used: %(path)s"),
    "skill_archive_invalid:unreadable": N_("The archive is damaged."),
    "skill_archive_invalid:unknown_format": N_("This is no .zip or .tar.gz that can be read."),
    "skill_archive_invalid:no_skills": N_("There is no skill in the archive."),
    "skill_archive_invalid:too_large": N_("The archive is too large."),
    "skill_archive_invalid:too_large_unpacked": N_("The archive is too large when unpacked."),
    "skill_archive_invalid:too_many_entries": N_("The archive has too many files."),
    "skill_archive_invalid:header_too_large": N_("The archive is damaged."),
    "skill_archive_invalid:path": N_("A path in the archive is not allowed: %(path)s"),
    "skill_archive_invalid:duplicate": N_("A path appears twice in the archive: %(path)s"),
    "skill_archive_invalid:device": N_("There is a device in the archive: %(path)s"),
    "skill_archive_invalid:encrypted": N_("The archive is encrypted."),
    "skill_pack_unavailable": N_(
        "The archive cannot be downloaded. Check the address and the branch, and try again."
    ),
    "skill_pack_unavailable:not_found": N_(
        "There is no such archive. Check the address and the branch."
    ),
    "skill_pack_unavailable:address_forbidden": N_(
        "The address is in a private network, where this server sends nothing. An operator can"
        " allow it with OUTBOUND_ALLOW_PRIVATE."
    ),
    "skill_pack_unavailable:dns": N_("The host name is unknown. Check the address."),
    "skill_pack_unavailable:timeout": N_("The download took too long. Try again."),
    "skill_pack_unavailable:too_large": N_("The archive is too large."),
}
"""Texts by code, or by code and cause."""
