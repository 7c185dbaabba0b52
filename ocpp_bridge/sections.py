"""What every section of ``bridge.yaml`` has in common."""

import ipaddress
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the configuration; what it does not know is warned of, not refused."""

    model_config = ConfigDict(frozen=True, extra="allow")


class TlsConfig(Section):
    """Certificate and key of a listener; ``client_ca`` signs the stations' certificates (security profile 3)."""

    cert: Path
    key: Path
    client_ca: Path | None = None


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
