"""The folder of one history: in memory where there is such a place, gone when it is played."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What a sync would keep is imagined, so the files need no disk.
MEMORY_FOLDER = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@contextmanager
def history_folder(kind: str, seed: int) -> Iterator[Path]:
    """Where the history of `seed` is played; the seed stands in the notes of what it raises."""
    folder = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=MEMORY_FOLDER)).resolve()
    try:
        yield folder
    except BaseException as error:
        error.add_note(f"seed {seed}")
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
