"""What the command line does with the bridge: run it as a service, ask it, and make password hashes.

Plain functions; options and colours are the command line's business.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from core.settings import MissingSecretError, secret
from ocpp_bridge.commission import Commissioning, Patience
from ocpp_bridge.config import BridgeConfig, ConfigError, load_config
from ocpp_bridge.security import hash_password as hash_bytes
from ocpp_bridge.service import AlreadyRunningError, Bridge, exclusive
from ocpp_bridge.store import StoreVersionError

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 30.0
EXIT_CANNOT_START = 2


class BridgeUnreachableError(RuntimeError):
    """No bridge answered, or it refused."""


def run(config_path: Path) -> int:
    """Serve until SIGTERM or SIGINT; print ``bridge ready`` once everything listens.

    Returns:
        0 after an orderly stop, 2 if the bridge cannot start (the reason goes to stderr).
    """
    _quiet_libraries()
    try:
        config = load_config(config_path)
        secret(config.http.token_env)
        if problems := list(config.missing()):
            raise ConfigError("\n".join(problems))
        with exclusive(config.state_dir):
            asyncio.run(_serve(config))
    except (ConfigError, MissingSecretError, AlreadyRunningError, StoreVersionError, OSError) as error:
        sys.stderr.write(f"the bridge cannot start: {error}\n")
        return EXIT_CANNOT_START
    return 0


async def _serve(config: BridgeConfig) -> None:
    stop, ready = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    announcing = asyncio.create_task(_announce(ready))
    try:
        await Bridge(config).run(stop, ready)
    finally:
        announcing.cancel()


async def _announce(ready: asyncio.Event) -> None:
    await ready.wait()
    sys.stdout.write("bridge ready\n")
    sys.stdout.flush()


def status(url: str, token: str) -> dict[str, Any]:
    """Return the bridge's health, site and stations: ``{"health": {...}, "site": {...}, "stations": [...]}``.

    Raises:
        BridgeUnreachableError: it does not answer, or refuses the token.
    """
    return {
        "health": _request("GET", url, "/health", token),
        **_request("GET", url, "/stations", token),
    }


def revoke(url: str, token: str, station_id: str | None = None) -> dict[str, list[str]]:
    """Take everything of ours off one station, or off all; return ``{"cleared": [...], "pending": [...]}``.

    Raises:
        BridgeUnreachableError: the bridge does not answer, or refuses.
    """
    answer: dict[str, list[str]] = _request("POST", url, "/revoke", token, {"station_id": station_id})
    return answer


def commission(
    url: str,
    token: str,
    station_id: str,
    connector_id: int,
    *,
    say: Callable[[str], None],
    patience: Patience | None = None,
) -> dict[str, Any]:
    """Take a station through commissioning; return the protocol (``depotwise.commissioning/1``).

    Raises:
        BridgeUnreachableError: the bridge does not answer, or refuses.
        CommissioningError: the station is not there, or no vehicle came.
    """

    def ask(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return _request(method, url, path, token, body)

    return Commissioning(ask, say, station_id, connector_id, patience or Patience()).run()


def hash_password(password: str) -> str:
    """Return the hash of a station's password for ``password_hash``; a trailing line end does not count.

    Raises:
        ValueError: there is no password.
    """
    password = password.rstrip("\r\n")
    if not password:
        raise ValueError("no password given; pipe it in, or type it and press Enter")
    return hash_bytes(password.encode())


def _request(method: str, url: str, path: str, token: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    try:
        answer = httpx.request(
            method,
            url.rstrip("/") + path,
            headers={"Authorization": f"Bearer {token}"},
            json=body,
            timeout=REQUEST_TIMEOUT_S,
        )
        answer.raise_for_status()
    except httpx.HTTPStatusError as error:
        raise BridgeUnreachableError(f"{path} answered {error.response.status_code}: {error.response.text}") from error
    except httpx.HTTPError as error:
        raise BridgeUnreachableError(f"no bridge answers at {url}: {error}") from error
    result: dict[str, Any] = answer.json()
    return result


def _quiet_libraries() -> None:
    """Keep libraries from logging frames, which hold tokens and keys."""
    for name in ("ocpp", "websockets", "ocpp_bridge.websockets", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in ("httpx", "httpcore", "uvicorn.error"):  # whole addresses, with whatever they hold; its start and end
        logging.getLogger(name).setLevel(logging.WARNING)
