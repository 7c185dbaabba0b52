"""The key of pseudonyms: from the environment, else one that is made once and kept beside the data it protects."""

import os
import secrets
import stat
from pathlib import Path

from core.files import write_text_atomic
from core.pseudonyms import KEY_VARIABLE
from core.settings import Settings
from orchestration.cli.output import errors

FILE_NAME = ".hash_key"


def ensure_hash_key(settings: Settings) -> None:
    """Make sure that identifiers can be hashed: equal ones must stay equal from run to run.

    A fleet with several machines, or with analysts who may read HOME, sets ``DEPOTWISE_HASH_KEY`` itself.
    """
    if os.environ.get(KEY_VARIABLE):
        return
    path = settings.home / FILE_NAME
    if not path.exists():
        _make(path)
        errors.print(f"[dim]{KEY_VARIABLE} is not set: made a key for pseudonyms and kept it in {path}[/]")
    os.environ[KEY_VARIABLE] = path.read_text(encoding="utf-8").strip()


def _make(path: Path) -> None:
    write_text_atomic(path, secrets.token_hex(32) + "\n")
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
