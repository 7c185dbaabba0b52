"""The sections of ``bridge.yaml`` that say which back end a station has. No secrets: those are in the environment."""

import os
import ssl
import urllib.parse
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from core.settings import secret
from ocpp_bridge.sections import Section, TlsConfig, is_loopback

SubprotocolName = Literal["ocpp1.6", "ocpp2.0.1", "ocpp2.1"]


class UpstreamConfig(Section):
    """The back end (CSMS) that a station belongs to: the bridge stands between the two.

    Without ``password_env`` the Basic credentials that the station showed us are passed on. ``offline_tokens`` says who
    may begin to charge while the back end is away: tokens that it accepted before, or any.
    """

    url: str
    username: str | None = None
    password_env: str | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    subprotocols: list[SubprotocolName] | None = Field(None, min_length=1)
    offline_tokens: Literal["known", "any"] = "known"
    timeout_s: float = Field(10.0, gt=0)
    retry_max_s: float = Field(60.0, gt=0)
    queue_max: int = Field(20_000, ge=100)

    @model_validator(mode="after")
    def _usable(self) -> "UpstreamConfig":
        problems = [*url_problems(self.url, schemes=("ws", "wss"))]
        if (self.cert is None) != (self.key is None):
            problems.append("cert and key belong together")
        if self.url.startswith("ws:") and (self.ca or self.cert):
            problems.append("ca and cert need a wss:// address")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def address(self, station_id: str) -> str:
        """Return where to dial for a station: OCPP-J appends its identity to the back end's address."""
        name = urllib.parse.quote(station_id, safe="")
        base = self.url.rstrip("/")
        return base if base.endswith(f"/{name}") else f"{base}/{name}"

    def password(self) -> str | None:
        """Return the password from the environment, or None where the station's own is passed on.

        Raises:
            core.settings.MissingSecretError: the variable is not set.
        """
        return None if self.password_env is None else secret(self.password_env)

    def tls(self) -> ssl.SSLContext | None:
        """Return how to trust the back end, and show ourselves to it; None for ``ws://``.

        Raises:
            OSError: a file cannot be read, or holds no certificate.
        """
        if not self.url.startswith("wss:"):
            return None
        files = (self.ca, self.cert, self.key)
        changed = tuple(None if path is None else path.stat().st_mtime_ns for path in files)
        return _tls_context(*files, changed)

    def missing(self) -> Iterator[str]:
        """Yield what this machine lacks for it: variables and files, by name."""
        if self.password_env is not None and not os.environ.get(self.password_env):
            yield _unset(self.password_env)
        for path in (self.ca, self.cert, self.key):
            if path is not None and not path.is_file():
                yield f"{path} is no file"


class _PublisherConfig(Section):
    """What all interfaces of other back ends have in common; ``name`` is what stations refer to."""

    name: str = Field(min_length=1)
    url: str
    timeout_s: float = Field(30.0, gt=0)

    @model_validator(mode="after")
    def _addressed(self) -> "_PublisherConfig":
        problems = [*url_problems(self.url, schemes=("http", "https"))]
        if problems:
            raise ValueError("; ".join(problems))
        return self


class OcpiConfig(_PublisherConfig):
    """A CPO's OCPI 2.2.1 ChargingProfiles receiver; ``url`` is that endpoint as its version details give it.

    ``token_env`` holds the token that it knows us by, ``peer_token_env`` the one that it shows us.
    """

    kind: Literal["ocpi"]
    token_env: str
    peer_token_env: str
    token_encoding: Literal["base64", "raw"] = "base64"  # noqa: S105  how it is written, not what it is
    country_code: str = Field(min_length=2, max_length=2)
    party_id: str = Field(min_length=3, max_length=3)
    to_country_code: str = Field(min_length=2, max_length=2)
    to_party_id: str = Field(min_length=3, max_length=3)

    def missing(self) -> Iterator[str]:
        """Yield the variables that are not set."""
        yield from (_unset(name) for name in (self.token_env, self.peer_token_env) if not os.environ.get(name))


class CitrineOsConfig(_PublisherConfig):
    """CitrineOS' message API; ``url`` is its root. ``token_env``: a bearer token, where something before it asks."""

    kind: Literal["citrineos"]
    version: Literal["1.6", "2.0.1"]
    tenant_id: int = 1
    token_env: str | None = None
    retry_s: float = Field(30.0, gt=0)
    prefixes: dict[str, str] = Field(default_factory=dict)

    def missing(self) -> Iterator[str]:
        """Yield the variables that are not set."""
        if self.token_env is not None and not os.environ.get(self.token_env):
            yield _unset(self.token_env)


Publisher = Annotated[OcpiConfig | CitrineOsConfig, Field(discriminator="kind")]


class PresystemConfig(Section):
    """A depot or fleet system that may ask for charging."""

    presystem_id: str = Field(min_length=1, max_length=64)
    password_hash: str


class Vdv463Config(Section):
    """Where presystems connect to ask for charging, and are told how it goes (VDV 463; we are the charging side)."""

    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)
    tls: TlsConfig | None = None
    depot_id: str | None = None
    interval_s: float = Field(15.0, gt=0)
    presystems: list[PresystemConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _protected(self) -> "Vdv463Config":
        if self.tls is None and not is_loopback(self.host):
            raise ValueError("vdv463 is wss: give tls: {cert, key}, or let it listen on a loopback address")
        names = [one.presystem_id for one in self.presystems]
        if len(set(names)) < len(names):
            raise ValueError("presystem_id given twice")
        return self


def _unset(name: str) -> str:
    return f"set the environment variable {name}"


@lru_cache(maxsize=64)
def _tls_context(
    ca: Path | None, cert: Path | None, key: Path | None, _changed: tuple[int | None, ...]
) -> ssl.SSLContext:
    """Read authorities and certificates, once until a file changes: a fleet that dials again must not wait for it."""
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert is not None:
        context.load_cert_chain(cert, key)
    return context


def from_url(value: Any) -> Any:  # noqa: ANN401  whatever the file holds
    """Let a bare address stand for the section."""
    return {"url": value} if isinstance(value, str) else value


Upstream = Annotated[UpstreamConfig, BeforeValidator(from_url)]


def url_problems(url: str, *, schemes: tuple[str, ...]) -> Iterator[str]:
    """Yield what is wrong with an address; a password in it would end up in logs."""
    try:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        yield f"url is no address: {error}"
        return
    if parts.scheme not in schemes or not host:
        yield f"url must be {' or '.join(f'{scheme}://host/…' for scheme in schemes)}"
    if parts.username or parts.password:
        yield "url must hold no password; name an environment variable with password_env"
    if parts.query or parts.fragment:
        yield "url must end with the path"
