"""What the local server has taken, so that a repeat is known: a file of digests, durable before the provider hears 250.

With it no cut of the line and no death of the provider makes a duplicate: what it sends again because our 250 was lost is
answered for, and not given to the local server a second time. Our own death between the local server's 250 and the fsync is
the one case left. Bounded; several connectors of one account may share it: what one of them is giving to the local server no
other takes meanwhile, so that a provider which thaws past its lease, beside a session that has its mail, makes no duplicate.
"""

import contextlib
import fcntl
import hashlib
import os
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from shared.protocol.memory import Claim

#: Octets of one record: SHA-256 of a message's XODMRID and the forward-path.
RECORD: Final = 32
#: Records that are kept; the provider repeats at most 256 of one session (RELIABILITY L4), so that this is days of mail.
KEPT: Final = 100_000


class Ledger:
    """One file. Raises OSError where it cannot be read or written."""

    def __init__(self, path: Path, kept: int = KEPT) -> None:
        self._path = path
        self._kept = kept
        self._known: set[bytes] = set()
        self._file = -1
        self._read_to = 0
        self._threads = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock, self._claims = (
            os.open(path.with_name(f"{path.name}.{what}"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            for what in ("lock", "claims")
        )
        with self._locked():
            self._mend()

    def close(self) -> None:
        """Lets go of the file, and of what was claimed."""
        for descriptor in (self._file, self._lock, self._claims):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def claim(self, message_id: str, forward_path: str) -> Claim:
        """Asks for one recipient. What is ours stays so until it is let go, or `add` is over, or this process is."""
        record = _record(message_id, forward_path)
        if not self._hold(record, fcntl.F_WRLCK):
            return Claim.ELSEWHERE
        if not self.has(message_id, forward_path):
            return Claim.OURS
        self._hold(record, fcntl.F_UNLCK)
        return Claim.TAKEN

    def let_go(self, message_id: str, forward_paths: Sequence[str]) -> None:
        """The local server did not take them: another connection may offer them to it."""
        for path in forward_paths:
            self._hold(_record(message_id, path), fcntl.F_UNLCK)

    def has(self, message_id: str, forward_path: str) -> bool:
        """Whether the local server took it, by this connector or by another one of the account."""
        with self._locked():
            self._catch_up()
        return _record(message_id, forward_path) in self._known

    def add(self, taken: Sequence[tuple[str, Sequence[str]]]) -> None:
        """Ids, and the forward-paths taken of each. Returns when all of it is on disk."""
        records = [_record(message_id, path) for message_id, paths in taken for path in paths]
        try:
            with self._locked():
                self._catch_up()
                self._mend()
                _write(self._file, b"".join(records))
                written = os.dup(self._file)
            try:
                os.fsync(
                    written
                )  # nobody waits for it but who must; a file that takes this one's place holds the records
            finally:
                os.close(written)
            with self._locked():
                self._catch_up()
                if self._read_to > 2 * self._kept * RECORD:
                    self._shorten()
        finally:
            for record in records:
                self._hold(record, fcntl.F_UNLCK)

    def _hold(self, record: bytes, how: int) -> bool:
        """Takes or gives back one record's octet of a file that stays empty. False when another connection has it.

        Locks of open file descriptions (Linux, fcntl(2)) tell two connections of one process apart, and end with the
        process. Elsewhere there are none, and nothing is ever another's.
        """
        if not hasattr(fcntl, "F_OFD_SETLK"):
            return True
        start = int.from_bytes(record[:8], "big") >> 2
        try:
            fcntl.fcntl(self._claims, fcntl.F_OFD_SETLK, struct.pack("hhqqi", how, os.SEEK_SET, start, 1, 0))
        except BlockingIOError:
            return False
        return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._threads:  # `add` runs in a thread of its own, and a lock of the file's is the whole process's
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _catch_up(self) -> None:
        """Reads what others have added; a file that was put in its place is read anew."""
        if self._file < 0 or not self._is_current():
            if self._file >= 0:
                os.close(self._file)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._known, self._read_to = set(), 0
        size = os.fstat(self._file).st_size // RECORD * RECORD
        if size > self._read_to:
            data = os.pread(self._file, size - self._read_to, self._read_to)
            self._known.update(data[i : i + RECORD] for i in range(0, len(data), RECORD))
            self._read_to = size

    def _is_current(self) -> bool:
        try:
            return self._path.stat().st_ino == os.fstat(self._file).st_ino
        except FileNotFoundError:
            return False

    def _mend(self) -> None:
        """A record that was written in part is cut off: its message was not answered for."""
        self._catch_up()
        if os.fstat(self._file).st_size != self._read_to:
            os.ftruncate(self._file, self._read_to)

    def _shorten(self) -> None:
        """Keeps the newest, in a new file that takes the old one's place at once."""
        newest = os.pread(self._file, self._kept * RECORD, self._read_to - self._kept * RECORD)
        draft = self._path.with_name(f"{self._path.name}.new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write(descriptor, newest)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        draft.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._catch_up()


def _record(message_id: str, forward_path: str) -> bytes:
    return hashlib.sha256(f"{message_id}\0{forward_path}".encode()).digest()


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
