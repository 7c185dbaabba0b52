"""What no page may show, taken out of text that others wrote: vehicle identification numbers, tokens, positions.

Lines on pages are made from public fields; this is for details, references and names, which may quote anything.
"""

import re

VIN = re.compile(
    r"(?<![A-Za-z0-9])(?=[A-Z0-9]*[0-9])[A-HJ-NPR-Z0-9]{13}([A-HJ-NPR-Z0-9]{4})(?![A-Za-z0-9])", re.IGNORECASE
)
HASHED_TOKEN = re.compile(r"(?<![A-Za-z0-9])[0-9a-f]{20}(?![A-Za-z0-9])")
CREDENTIAL = re.compile(r"(?i)\b(bearer|basic|token|password|apikey|api_key|sessionid)(\s*[=:]\s*|\s+)[^\s,;\"'<>]+")
# Five decimals of a degree are a metre; four already name a house.
PRECISE_DEGREES = re.compile(r"(?<![\d.])-?\d{1,3}\.\d{4,}(?!\d)")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def redact(text: str) -> str:
    """Return the text without identification numbers, tokens, credentials, positions and control characters."""
    text = CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
    text = VIN.sub(r"[VIN …\1]", text)
    text = HASHED_TOKEN.sub("[token]", text)
    text = CREDENTIAL.sub(r"\1 [secret]", text)
    return PRECISE_DEGREES.sub("[position]", text)
