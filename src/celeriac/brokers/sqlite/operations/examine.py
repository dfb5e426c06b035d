"""What is wrong with a SQLite broker and its file, and what to change. Pure: the file's place is asked for by SQL."""

from __future__ import annotations

from typing import Final

import msgspec

from celeriac.brokers.port import Finding, Level
from celeriac.brokers.sql.requests import Rows, SqlOperation, Statement, Transaction
from celeriac.brokers.sqlite.queries import query
from celeriac.brokers.sqlite.schema import OBJECTS, VERSION

SCHEMA_VERSION: Final = query("version")
SCHEMA_OBJECTS: Final = query("objects")
NOW: Final = "SELECT now()"

# PRAGMAs give one row of one value each.
_LOOKS: Final = ("SELECT place()", "PRAGMA journal_mode", "PRAGMA synchronous", "PRAGMA page_size")
_MOST_PAGES: Final = "PRAGMA max_page_count"
_CHECK: Final = "PRAGMA quick_check(1)"

MIB: Final = 1024 * 1024
CHECKED_SIZE: Final = 32 * MIB
"""Largest file whose every page is checked: about a tenth of a second."""
LITTLE_ROOM: Final = 512 * MIB
NO_ROOM: Final = 16 * MIB
NEARLY_FULL: Final = 0.9
LONG_LOG: Final = 256 * MIB
"""Four times what the log keeps when it is brought into the file as it should."""
_NETWORKS: Final = """
    9p afs beegfs ceph cifs coda fuse.glusterfs fuse.s3fs fuse.sshfs gfs2 gpfs lustre ncpfs nfs nfs4 ocfs2 orangefs smb2
    smb3 smbfs vboxsf virtiofs
"""
NETWORKS: Final = frozenset(_NETWORKS.split())
MEMORIES: Final = frozenset({"ramfs", "tmpfs"})
LAYERS: Final = frozenset({"aufs", "overlay", "overlayfs"})
FULL: Final = 2  # What PRAGMA synchronous calls it.


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What the operating system says about the file.

    Attributes:
        mode: Permission bits of the file.
        directory_mode: Permission bits of its directory.
        file_system: As the kernel calls it, for instance ``ext4``; empty where it cannot be told.
        size: Bytes of the file.
        log_size: Bytes of its write-ahead log.
        free: Bytes that this user may still write to the file system.
    """

    mode: int
    directory_mode: int
    file_system: str
    size: int
    log_size: int
    free: int


class ExamineOperations:
    """Looking at the store itself."""

    def now(self) -> SqlOperation[float]:
        reply = yield Transaction((Statement(NOW),), writes=False)
        return float(reply[0][0][0])

    def examine(self) -> SqlOperation[list[Finding]]:
        looks = (*_LOOKS, _MOST_PAGES, SCHEMA_VERSION, SCHEMA_OBJECTS)
        steps = tuple(Statement(sql) for sql in looks)
        reply = yield Transaction(steps, writes=False, installs=False)
        place_text, journal, synchronous, page_size, most = (rows[0][0] for rows in reply[:5])
        place = msgspec.json.decode(place_text, type=Place)
        damage: str | None = None
        if place.size <= CHECKED_SIZE:
            reply_of_check = yield Transaction((Statement(_CHECK),), writes=False, installs=False)
            damage = str(reply_of_check[0][0][0])
        return [
            _schema(reply[5], reply[6]),
            _journal(journal),
            _durability(int(synchronous)),
            _file_system(place),
            _permissions(place),
            _room(place, int(most) * int(page_size)),
            _log(place),
            _integrity(damage),
        ]


def schema_trouble(version_rows: Rows, object_rows: Rows) -> str | None:
    """Return what is wrong with the schema and what to do; None if nothing is.

    Args:
        version_rows: What version.sql returned.
        object_rows: What objects.sql returned.
    """
    ((_, version),) = version_rows
    missing = OBJECTS - {(kind, name) for kind, name in object_rows}
    if version < VERSION:
        return (
            f"the SQLite broker's schema has version {version}, and this version of Celeriac needs {VERSION}: it is"
            " brought up to date by the first worker or producer that uses it, and by `celeriac db upgrade`"
        )
    if missing:
        names = ", ".join(sorted(f"{kind} {name}" for kind, name in missing))
        return (
            f"the SQLite broker's schema lacks {names}: somebody changed the file; restore it from a backup, or move it"
            " away and let Celeriac make a new one"
        )
    return None


def _schema(version_rows: Rows, object_rows: Rows) -> Finding:
    trouble = schema_trouble(version_rows, object_rows)
    if trouble is None:
        return _ok("schema", f"version {VERSION}, complete")
    text, _, remedy = trouble.partition(": ")
    return Finding(level="error", subject="schema", text=text, remedy=remedy)


def _journal(mode: str) -> Finding:
    if mode == "wal":
        return _ok("journal", "a write-ahead log: reading and writing do not keep each other waiting")
    return Finding(
        level="error",
        subject="journal",
        text=f"the journal mode is {mode}, so that each reader keeps the writers out",
        remedy="stop what changed it (a tool that copies or vacuums the file), and restart the workers",
    )


def _durability(synchronous: int) -> Finding:
    if synchronous >= FULL:
        return _ok("durability", "a commit is on disk when it returns")
    return Finding(
        level="advice",
        subject="durability",
        text="a loss of power may cost the last commits; the end of a process never does",
        remedy="if that matters more than speed, add ?synchronous=full to the URL",
    )


def _file_system(place: Place) -> Finding:
    name = place.file_system
    level: Level
    if name in NETWORKS:
        level, text = "error", f"the file is on a network ({name}), where locks and shared memory cannot be relied on"
        remedy = "put the file on a local disk; for several machines, use a broker with a server"
    elif name in MEMORIES:
        level, text = "warning", f"the file is in memory ({name}), and gone after a restart of the machine"
        remedy = "put the file on a disk"
    elif name in LAYERS:
        level, text = "advice", f"the file is in the layer of a container ({name}), and goes when the container does"
        remedy = "put the file on a volume, unless nothing in it need outlive the container"
    else:
        return _ok("file system", name or "unknown")
    return Finding(level=level, subject="file system", text=text, remedy=remedy)


def _permissions(place: Place) -> Finding:
    shown = f"permissions are {place.mode:04o}"
    if place.mode & 0o002:
        return Finding(
            level="warning",
            subject="permissions",
            text=f"{shown}: every user of this machine can change messages and results, and so have tasks run",
            remedy="chmod o-rwx on the file and on the files beside it that end in -wal and -shm",
        )
    # Whoever may not enter the directory cannot read what is in it.
    if place.mode & 0o004 and place.directory_mode & 0o001:
        return Finding(
            level="advice",
            subject="permissions",
            text=f"{shown}: every user of this machine can read the arguments and results of tasks",
            remedy="chmod o-rwx on the file and on the files beside it that end in -wal and -shm, or on its directory",
        )
    return _ok("permissions", f"{shown}, closed to other users")


def _room(place: Place, most: int) -> Finding:
    used = place.size + place.log_size
    shown = f"{_mib(used)} used, {_mib(place.free)} left on the disk"
    if place.free < NO_ROOM:
        remedy = "make room now: enqueueing and finishing tasks are about to fail"
        return Finding(level="error", subject="disk space", text=shown, remedy=remedy)
    if most and place.size > NEARLY_FULL * most:
        remedy = "raise max_size in the URL, let results expire sooner, or clear away dead letters"
        text = f"{_mib(place.size)} of the {_mib(most)} that the file may grow to are used"
        return Finding(level="warning", subject="disk space", text=text, remedy=remedy)
    if place.free < LITTLE_ROOM:
        return Finding(level="warning", subject="disk space", text=shown, remedy="make room on the file system")
    return _ok("disk space", shown)


def _log(place: Place) -> Finding:
    text = f"the write-ahead log has {_mib(place.log_size)}"
    if place.log_size <= LONG_LOG:
        return _ok("log", text)
    remedy = "look for a process that holds a transaction open (a database browser, a backup): it keeps the log growing"
    return Finding(level="warning", subject="log", text=text, remedy=remedy)


def _integrity(found: str | None) -> Finding:
    """Return what the check of the pages came to; None where there were too many to check."""
    if found == "ok":
        return _ok("integrity", "every page was checked and is sound")
    if found is None:
        return _ok("integrity", f"not checked, since the file is larger than {_mib(CHECKED_SIZE)}")
    return Finding(
        level="error",
        subject="integrity",
        text=f"the file is damaged: {' '.join(found.split())}",
        remedy='stop all processes that use it, keep a copy, and rescue what can be read with "sqlite3 FILE .recover"',
    )


def _ok(subject: str, text: str) -> Finding:
    return Finding(level="ok", subject=subject, text=text)


def _mib(size: int) -> str:
    return f"{size / MIB:,.1f} MiB"
