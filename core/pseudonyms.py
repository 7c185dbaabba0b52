"""Keyed hashes for identifiers of people and tokens: equal inputs stay equal, nothing can be turned back."""

import hashlib
import hmac

from core.settings import secret

KEY_VARIABLE = "DEPOTWISE_HASH_KEY"


def keyed_hash(text: str, *, key: str | None = None) -> str:
    """Return the first 20 hex digits of HMAC-SHA256 of the text (20 is the length of an OCPP 1.6 idTag).

    Case and surrounding blanks are ignored, as OCPP compares idTags without case.

    Raises:
        core.settings.MissingSecretError: no key is given and ``DEPOTWISE_HASH_KEY`` is not set.
    """
    secret_key = secret(KEY_VARIABLE) if key is None else key
    return hmac.new(secret_key.encode(), text.strip().casefold().encode(), hashlib.sha256).hexdigest()[:20]
