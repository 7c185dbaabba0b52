"""Secrets of the simulated depot: all from the environment or derived from it; nothing on disk but hashes."""

import base64
import hashlib
import hmac

from core.settings import secret

STATION_SECRET = "DEPOTWISE_STATION_SECRET"
RFMS_TOKEN = "DEPOTWISE_RFMS_TOKEN"
GEOTAB_USER, GEOTAB_PASSWORD = "DEPOTWISE_GEOTAB_USER", "DEPOTWISE_GEOTAB_PASSWORD"
BRIDGE_TOKEN = "DEPOTWISE_BRIDGE_TOKEN"
LOG2_N, BLOCK, PARALLEL, KEY_BYTES = 13, 8, 1, 32


def station_password(station_id: str) -> str:
    """Return a station's Basic auth password: 20 characters that follow from the secret and its name.

    Raises:
        core.settings.MissingSecretError: ``DEPOTWISE_STATION_SECRET`` is not set.
    """
    key = secret(STATION_SECRET).encode()
    return base64.b32encode(hmac.new(key, station_id.encode(), hashlib.sha256).digest()).decode()[:20]


def password_hash(station_id: str) -> str:
    """Return the hash of a station's password as the bridge reads it: ``scrypt$<log2 n>$<r>$<p>$<salt>$<key>``.

    The salt follows from the secret too, so that preparing a scenario again gives the same files.
    """
    key = secret(STATION_SECRET).encode()
    salt = hmac.new(key, b"salt " + station_id.encode(), hashlib.sha256).digest()[:16]
    made = hashlib.scrypt(
        station_password(station_id).encode(), salt=salt, n=1 << LOG2_N, r=BLOCK, p=PARALLEL, dklen=KEY_BYTES
    )
    fields = ["scrypt", str(LOG2_N), str(BLOCK), str(PARALLEL), _text(salt), _text(made)]
    return "$".join(fields)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
