"""Small text files that are replaced whole: either the old content or the new one is there.

    recovery-point-offset-checkpoint,        0             version
    log-start-offset-checkpoint,             2             entries
    replication-offset-checkpoint            clicks 0 42   topic, partition, offset

    leader-epoch-checkpoint                  0             version
                                             1             entries
                                             5 1200        epoch, its first offset

    meta.properties                          Java properties: version=1, cluster.id, node.id,
                                             directory.id
    partition.metadata                       version: 0
                                             topic_id: 22 letters

Replacing: write `<name>.tmp`, fsync it, rename it over the old file, fsync the folder.  The formats
are Kafka's, so its brokers and tools can read a folder of ours, and the other way round.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from .errors import HeadraceError
from .kafka_uuid import uuid_from_text, uuid_to_text

CHECKPOINT_VERSION = 0
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
META_PROPERTIES_NAME = "meta.properties"
PARTITION_METADATA_NAME = "partition.metadata"
RECOVERY_POINT_NAME = "recovery-point-offset-checkpoint"
LOG_START_OFFSET_NAME = "log-start-offset-checkpoint"
HIGH_WATERMARK_NAME = "replication-offset-checkpoint"
LEADER_EPOCH_NAME = "leader-epoch-checkpoint"

TopicPartition = tuple[str, int]


class CheckpointFormatError(HeadraceError):
    """A checkpoint or properties file that cannot be read: what is wrong, and on which line."""

    def __init__(self, path: Path, line_number: int, reason: str) -> None:
        super().__init__(f"{path}, line {line_number}: {reason}")
        self.path = path
        self.line_number = line_number
        self.reason = reason


def write_offset_checkpoint(
    path: Path, offsets: Mapping[TopicPartition, int], *, sync: bool = True
) -> None:
    """Replace the file by these offsets, in the order of their topics."""
    rows = (f"{topic} {index} {offset}" for (topic, index), offset in sorted(offsets.items()))
    _write_rows(path, rows, len(offsets), sync=sync)


def read_offset_checkpoint(path: Path) -> dict[TopicPartition, int]:
    """What was written last; nothing where there is no file.  Raises CheckpointFormatError."""
    found: dict[TopicPartition, int] = {}
    for number, fields in _read_rows(path, field_count=3):
        topic, index, offset = fields
        found[topic, _parse_number(path, number, index)] = _parse_number(path, number, offset)
    return found


def write_epoch_checkpoint(
    path: Path, entries: Iterable[tuple[int, int]], *, sync: bool = True
) -> None:
    """Replace the file by these (epoch, start_offset), in the order given."""
    rows = [f"{epoch} {start_offset}" for epoch, start_offset in entries]
    _write_rows(path, rows, len(rows), sync=sync)


def read_epoch_checkpoint(path: Path) -> list[tuple[int, int]]:
    """The (epoch, start_offset) written last; nothing where there is no file."""
    return [
        (_parse_number(path, number, epoch), _parse_number(path, number, start_offset))
        for number, (epoch, start_offset) in _read_rows(path, field_count=2)
    ]


class PropertiesFile:
    """A Java properties file such as meta.properties: comments, `key=value` lines."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, str] | None:
        """Its keys and values; None where there is no file.  Raises CheckpointFormatError."""
        text = _read_text(self.path)
        if text is None:
            return None
        found = {}
        for number, raw_line in enumerate(text.split("\n"), start=1):
            line = raw_line.strip()
            if not line or line[0] in "#!":
                continue
            key, separator, value = _split_property(line)
            if not separator:
                raise CheckpointFormatError(self.path, number, f"{line!r} has no '='")
            found[key] = value
        return found

    def write(self, values: Mapping[str, str]) -> None:
        """Replace the file by these values."""
        lines = [f"{_escape(key, ' =:')}={_escape(value, '')}" for key, value in values.items()]
        replace_file(self.path, "".join(f"{line}\n" for line in lines).encode("utf-8"))

    def blank(self, key: str) -> None:
        """Empty the value of `key`, that the file has, where it stands: a full disk allows that."""
        self.overwrite(key, "")

    def overwrite(self, key: str, value: str) -> None:
        """Put a value that is no longer where the one of `key` stands, also on a full disk."""
        content = self.path.read_bytes()
        start = content.index(f"{key}=".encode()) + len(key) + 1
        size_bytes = content.index(b"\n", start) - start
        assert len(value) <= size_bytes, (key, value, size_bytes)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(descriptor, value.encode("ascii").ljust(size_bytes), start)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_partition_metadata(folder: Path, topic_id: bytes) -> None:
    """Tie a partition's folder to its topic's id."""
    replace_file(folder / PARTITION_METADATA_NAME, _partition_metadata(topic_id))


def write_new_partition_metadata(folder: Path, topic_id: bytes) -> None:
    """The same in a new folder, in fewer steps and without a sync: whoever finds the file empty or
    missing knows the id from elsewhere."""
    descriptor = os.open(f"{folder}/{PARTITION_METADATA_NAME}", _NEW_FILE, 0o644)
    try:
        os.write(descriptor, _partition_metadata(topic_id))
    finally:
        os.close(descriptor)


def _partition_metadata(topic_id: bytes) -> bytes:
    return b"version: 0\ntopic_id: " + uuid_to_text(topic_id).encode("ascii")


def read_partition_metadata(folder: Path) -> bytes | None:
    """The topic id of a partition's folder; None where it has no (or an empty) file."""
    path = folder / PARTITION_METADATA_NAME
    text = _read_text(path)
    if not text:
        return None
    values = {}
    for number, line in enumerate(text.splitlines(), start=1):
        key, separator, value = line.partition(":")
        if not separator:
            raise CheckpointFormatError(path, number, f"{line!r} has no ':'")
        values[key.strip()] = value.strip()
    if values.get("version") != "0":
        raise CheckpointFormatError(path, 1, f"version {values.get('version')} is unknown")
    try:
        return uuid_from_text(values.get("topic_id", ""))
    except ValueError as error:
        raise CheckpointFormatError(path, 2, str(error)) from error


def replace_file(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Put `content` in the place of `path`, whole or not at all.

    Without `sync` it survives the end of the process but perhaps not a power cut: for what can
    be rebuilt.
    """
    temporary = path.with_name(path.name + ".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        written = 0
        while written < len(content):
            written += os.write(descriptor, content[written:])
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(temporary, path)
    if sync:
        sync_folder(path.parent)


def check_room(folder: Path, size_bytes: int) -> None:
    """Raise OSError (ENOSPC, EDQUOT) unless `size_bytes` more can be reserved in `folder`.

    Any thread, also several at a time.
    """
    path = folder / ".room"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)  # another thread's look may have removed it


def sync_folder(folder: Path) -> None:
    """Make names created, renamed or removed in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_rows(path: Path, rows: Iterable[str], count: int, *, sync: bool) -> None:
    lines = [str(CHECKPOINT_VERSION), str(count), *rows]
    replace_file(path, "".join(f"{line}\n" for line in lines).encode("utf-8"), sync=sync)


def _read_rows(path: Path, *, field_count: int) -> list[tuple[int, list[str]]]:
    """(line number, fields) of every entry, checked against version and count."""
    text = _read_text(path)
    if text is None:
        return []
    lines = text.split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    if len(lines) < 2:
        raise CheckpointFormatError(path, len(lines) + 1, "version or number of entries is missing")
    version = _parse_number(path, 1, lines[0])
    if version != CHECKPOINT_VERSION:
        raise CheckpointFormatError(path, 1, f"version {version} is unknown, only 0 is")
    count = _parse_number(path, 2, lines[1])
    if count != len(lines) - 2:
        raise CheckpointFormatError(path, 2, f"{count} entries announced, {len(lines) - 2} found")
    rows = []
    for number, line in enumerate(lines[2:], start=3):
        fields = line.split(" ")
        if len(fields) != field_count:
            raise CheckpointFormatError(path, number, f"{line!r} has not {field_count} fields")
        rows.append((number, fields))
    return rows


def _read_text(path: Path) -> str | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line_number = content.count(b"\n", 0, error.start) + 1
        raise CheckpointFormatError(path, line_number, "this is no text in UTF-8") from error


def _parse_number(path: Path, line_number: int, text: str) -> int:
    digits = text[1:] if text.startswith("-") else text
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 19):
        raise CheckpointFormatError(path, line_number, f"{text!r} is no number")
    return int(text)


def _split_property(line: str) -> tuple[str, str, str]:
    """key, separator, value of one line, with Java's backslashes taken away."""
    position = 0
    while position < len(line) and line[position] not in "=:":
        position += 2 if line[position] == "\\" else 1
    key, separator, value = line[:position], line[position : position + 1], line[position + 1 :]
    return _unescape(key.rstrip()), separator, _unescape(value.lstrip())


def _escape(text: str, extra: str) -> str:
    assert "\n" not in text, text
    return "".join(
        f"\\{letter}" if letter == "\\" or letter in extra else letter for letter in text
    )


def _unescape(text: str) -> str:
    letters = iter(text)
    return "".join(next(letters, "") if letter == "\\" else letter for letter in letters)
