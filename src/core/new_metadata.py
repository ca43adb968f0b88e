"""`partition.metadata` of new folders: one file for all partitions of a topic in one log.dir.

It holds no more than the topic's id, so of a thousand new partitions it need not be made, written
and, one day, deleted a thousand times: all but the first are hard links.  Whoever changes such a
file puts another in its place (`replace_file`, and Kafka does the same), so no other partition
sees it.
"""

import errno
import os
from pathlib import Path

from .checkpoint_file import PARTITION_METADATA_NAME, write_new_partition_metadata

# Links are not to be had here, or not another one, or what was to be linked is gone: each with a
# file of its own is as good.
_NO_LINK = frozenset(
    {errno.EMLINK, errno.EPERM, errno.EXDEV, errno.ENOENT, errno.ENOSYS, errno.EOPNOTSUPP}
)


class NewMetadata:
    """Writes it, and remembers what was written last in each log.dir.  Owner's thread only."""

    def __init__(self) -> None:
        self._newest: dict[Path, tuple[bytes, str, int]] = {}
        """log.dir -> (topic_id, the file's name, its inode)"""

    def write(self, folder: Path, topic_id: bytes) -> None:
        """Tie a new folder to its topic's id, without a sync; raises OSError."""
        path = f"{folder}/{PARTITION_METADATA_NAME}"
        newest = self._newest.get(folder.parent)
        if newest is not None and newest[0] == topic_id and _link(newest[1], path, newest[2]):
            return
        write_new_partition_metadata(folder, topic_id)
        self._newest[folder.parent] = (topic_id, path, os.stat(path).st_ino)


def _link(existing: str, path: str, inode: int) -> bool:
    """Whether `path` is another name of the file that `existing` was when it was written."""
    try:
        os.link(existing, path)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        return False
    if os.stat(path).st_ino == inode:
        return True
    os.unlink(path)  # another file has taken its place
    return False
