"""What the records of the write-ahead log add up to: one `GroupImage` a group (pure)."""

from collections.abc import MutableMapping
from dataclasses import dataclass

from .wal_format import NO_VOTE, WalRecord, WalRecordKind


@dataclass(slots=True)
class GroupImage:
    """All that the log holds of one group: a snapshot and the entries behind it.

    `snapshot_index` is the last entry the snapshot covers (0: none); `entries` are (index, term,
    payload); `term` is the newest one the group has seen and `voted_for` its vote in it.
    """

    snapshot_index: int = 0
    snapshot_term: int = 0
    snapshot: bytes = b""
    entries: list[tuple[int, int, bytes]] | tuple[tuple[int, int, bytes], ...] = ()
    term: int = 0
    voted_for: int | None = None

    @property
    def last_index(self) -> int:
        return self.entries[-1][0] if self.entries else self.snapshot_index

    @property
    def last_term(self) -> int:
        return self.entries[-1][1] if self.entries else self.snapshot_term


_NO_GROUP = GroupImage()


def replay_record(images: MutableMapping[str, GroupImage], record: WalRecord) -> None:
    """Bring `images` up to date with one more record; raises ValueError where it does not fit."""
    kind, group_id, index, term, payload = record
    if kind == WalRecordKind.ENTRY:
        _replay_entry(images, group_id, (index, term, payload))
    elif kind == WalRecordKind.SNAPSHOT:
        known = images.get(group_id, _NO_GROUP)
        images[group_id] = GroupImage(index, term, payload, [], known.term, known.voted_for)
    elif kind == WalRecordKind.HARD_STATE:
        image = images.setdefault(group_id, GroupImage(entries=[]))
        image.term = term
        image.voted_for = None if index == NO_VOTE else index
    else:
        images.pop(group_id, None)


def records_of(group_id: str, image: GroupImage) -> list[WalRecord]:
    """The records of a checkpoint that add up to `image`."""
    records = [
        WalRecord(
            WalRecordKind.SNAPSHOT,
            group_id,
            image.snapshot_index,
            image.snapshot_term,
            image.snapshot,
        )
    ]
    records += [WalRecord(WalRecordKind.ENTRY, group_id, *entry) for entry in image.entries]
    if image.term:
        vote = NO_VOTE if image.voted_for is None else image.voted_for
        records.append(WalRecord(WalRecordKind.HARD_STATE, group_id, vote, image.term, b""))
    return records


def _replay_entry(
    images: MutableMapping[str, GroupImage], group_id: str, entry: tuple[int, int, bytes]
) -> None:
    image = images.get(group_id)
    if image is None:
        image = images[group_id] = GroupImage(entries=[])
    if not isinstance(image.entries, list):
        image.entries = list(image.entries)
    kept = entry[0] - image.snapshot_index - 1
    if not 0 <= kept <= len(image.entries):
        raise ValueError(
            f"group {group_id}: entry {entry[0]} does not follow entry {image.last_index}"
        )
    del image.entries[kept:]
    image.entries.append(entry)
