"""Import from the original: organizations of abhi1693/openclaw-mission-control.

`open_original` reads its database and changes nothing there. `import_original` copies what belongs
to its organizations in the transaction of a session.
"""

from services.original.commands import import_original
from services.original.report import ImportNote, ImportReport
from services.original.source import OriginalDatabase, open_original
from services.original.transfer import DeviceKey, ImportOptions
