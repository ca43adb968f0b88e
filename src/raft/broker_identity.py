"""Which life of a broker this is: kept beside its write-ahead log, so that both are lost together.

broker.properties in __headrace_raft/
wal.id       drawn with a new write-ahead log: who lost the old one votes in no old group
incarnation  drawn after every stop that was not clean: what was not flushed may be gone
boot.id      of the machine when that was written: the same one still has its page cache
kept         earlier incarnations since whose time the machine did not restart, newest last
life         counts the starts, each on the disk before anybody hears of it: `broker_life`
"""

from dataclasses import dataclass
from pathlib import Path

from ..core.checkpoint_file import CheckpointFormatError, PropertiesFile
from ..core.clock import Clock
from ..core.errors import PASSING_REFUSALS
from .broker_life import session_of
from .wal_format import wal_files

FILE_NAME = "broker.properties"
ID_BYTES = 7
_LIFE_DIGITS = 10
_MOST_KEPT = 64  # of a broker that dies again and again; older ones count as gone
_BOOT_ID_PATH = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class BrokerIdentity:
    """`has_kept_cache`: no machine restart lies between the last life and this one.

    `kept`: the earlier incarnations of which that is true.  A process that dies again soon after
    its machine restarted was in sync as one before both, and what that did not flush is gone.
    """

    wal_id: int
    incarnation: int
    session: int
    has_kept_cache: bool
    kept: frozenset[int] = frozenset()


def load_identity(wal_folder: Path, *, was_clean: bool, clock: Clock) -> BrokerIdentity:
    """This life's identity, durable before anybody hears of it.  Before the log is opened."""
    stored = PropertiesFile(wal_folder / FILE_NAME)
    try:
        found = stored.read() or {}
    except CheckpointFormatError:
        found = {}  # as good as lost: a new incarnation and a new log id are always safe
    boot_id = _read_boot_id()
    has_log = bool(wal_files(wal_folder))
    wal_id = _number(found, "wal.id") if has_log else 0
    incarnation = _number(found, "incarnation") if was_clean else 0
    has_kept_cache = boot_id != "" and found.get("boot.id") == boot_id
    kept = _kept_incarnations(found) if has_kept_cache else []
    has_life = len(found.get("life", "")) == _LIFE_DIGITS
    life = _number(found, "life") + 1 if wal_id and has_life else 1
    if has_life:
        stored.overwrite("life", _life_text(life))
    if not (wal_id and incarnation and has_kept_cache and has_life):
        is_known = wal_id != 0 and "incarnation" in found
        wal_id = wal_id or _draw(clock)
        incarnation = incarnation or _draw(clock)
        wal_folder.mkdir(parents=True, exist_ok=True)
        values = {
            "wal.id": str(wal_id),
            "incarnation": str(incarnation),
            "boot.id": boot_id,
            "kept": ",".join(map(str, kept)),
            "life": _life_text(life),
        }
        try:
            stored.write(values)
        except OSError as error:
            if not is_known or error.errno not in PASSING_REFUSALS:
                raise
            # A full disk: serve all the same, under an incarnation that no later life takes again.
            stored.blank("incarnation")
            life = life if has_life else 0
    session = session_of(life, _draw(clock))
    return BrokerIdentity(wal_id, incarnation, session, has_kept_cache, frozenset(kept))


def _kept_incarnations(found: dict[str, str]) -> list[int]:
    """The last life's own one and those that it had kept; one of a full disk has no number."""
    former = [int(text) for text in found.get("kept", "").split(",") if text.isdecimal()]
    last = _number(found, "incarnation")
    return [*former, *([last] if last and last not in former else [])][-_MOST_KEPT:]


def _life_text(life: int) -> str:
    return f"{life:0{_LIFE_DIGITS}d}"


def _number(found: dict[str, str], name: str) -> int:
    text = found.get(name, "")
    return int(text) if text.isdecimal() else 0


def _draw(clock: Clock) -> int:
    return int.from_bytes(clock.random_bytes(ID_BYTES), "big") | 1


def _read_boot_id() -> str:
    try:
        return _BOOT_ID_PATH.read_text().strip()
    except OSError:  # another kind of system: then nobody knows
        return ""
