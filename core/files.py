"""Files that are either whole or absent: written under a temporary name, synced, renamed."""

import hashlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Write bytes so that a reader, or a crash, sees the old file or the new one."""
    write_atomic(path, lambda temporary: temporary.write_bytes(data))


def write_text_atomic(path: Path, text: str) -> None:
    """Write UTF-8 text so that a reader, or a crash, sees the old file or the new one."""
    write_bytes_atomic(path, text.encode())


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make a file under a temporary name in the same folder, then rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of the bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
