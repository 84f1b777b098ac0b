"""Skills for agents on gateways: packs, their skills with files, and requests to install them."""

from services.skills.commands import (
    DEFAULT_PACKS,
    SkillCreate,
    SkillPackCreate,
    SkillPackUpload,
    add_default_packs,
    delete_pack,
    delete_packs,
    delete_skill,
    delete_skills,
    save_pack,
    save_skill,
    update_pack,
)
from services.skills.discovery import WARNINGS
from services.skills.downloads import create_download_client
from services.skills.files import decode_shown_text, list_hidden_files
from services.skills.installations import SkillConfirmationJob, request_install, request_removal
from services.skills.pack_updates import (
    accept_update,
    discard_update,
    fetch_update,
    sync_pack,
    upload_pack,
)
from services.skills.queries import (
    NO_LIMIT,
    UNCATEGORIZED,
    PackSummary,
    SkillCard,
    SkillFilter,
    find_version,
    get_pack,
    get_requested_files,
    get_skill,
    list_filter_choices,
    list_gateway_skills,
    list_installations,
    list_packs,
    list_selected_skills,
    list_skills,
)
from services.skills.rules import Installation, SkillState
from services.skills.sources import (
    build_folder_name,
    check_skill_url,
    infer_name,
    is_upload,
    normalize_branch,
    normalize_pack_url,
)
