"""Write the names of files to the disk, as `os.fsync` does with their content."""

import errno
import os
from pathlib import Path

UNSYNCABLE = (errno.EACCES, errno.EINVAL, errno.ENOTSUP)  # a folder that only takes files


def sync_folder(folder: Path) -> None:
    """Wait until the names of its files are on the disk, where the file system can do that.

    Raises OSError for other reasons, such as a disk that fails.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in UNSYNCABLE:
            raise
