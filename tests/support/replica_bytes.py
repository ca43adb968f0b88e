"""What the folders of several brokers hold of a partition, read from their files at rest."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from headrace.core.batch_file import read_file_batches, zeros_from
from headrace.core.errors import LogCorruptedError
from headrace.core.record_batch import RecordBatch
from tests.support.history import Partition


def stored_batches(folder: Path) -> Iterator[RecordBatch]:
    """Every batch in the segments of one partition folder, in order; a reserved tail is no batch.

    A tail that is neither a whole batch nor zeros raises LogCorruptedError.
    """
    for path in sorted(folder.glob("*.log")):
        try:
            for _, batch in read_file_batches(path, path.stat().st_size):
                yield batch
        except LogCorruptedError as error:
            if not zeros_from(path, error.position):
                raise


def replica_bytes(folder: Path, high_watermark: int) -> bytes:
    """The batches below `high_watermark` as they lie on disk, one behind the other."""
    return b"".join(
        bytes(batch.view())
        for batch in stored_batches(folder)
        if batch.last_offset < high_watermark
    )


def log_end_offset(folder: Path) -> int:
    """The next offset of a partition folder, as its batches tell it."""
    end = 0
    for batch in stored_batches(folder):
        end = batch.next_offset
    return end


def replicas_of(folders: Mapping[int, Path], partition: Partition) -> dict[int, bytes]:
    """Broker id -> its bytes up to the shortest log, of those brokers that hold the partition."""
    name = f"{partition[0]}-{partition[1]}"
    holding = {number: data / name for number, data in folders.items() if (data / name).is_dir()}
    shortest = min((log_end_offset(folder) for folder in holding.values()), default=0)
    return {number: replica_bytes(folder, shortest) for number, folder in holding.items()}


def differing(
    folders: Mapping[int, Path], partitions: Iterable[Partition]
) -> dict[Partition, dict[int, bytes]]:
    """The partitions whose replicas are not the same bytes, with those bytes."""
    found = {partition: replicas_of(folders, partition) for partition in partitions}
    return {
        partition: replicas
        for partition, replicas in found.items()
        if len(set(replicas.values())) > 1
    }
