"""From where statements are pulled, where nobody delivers them."""

from __future__ import annotations

import datetime as dt
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from pipeline.policy.base import Strict

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Pull(Strict):
    """A Learning Record Store that statements are pulled from (xAPI 1.0.3 part 3, section 2.1.3).

    Attributes:
        endpoint: where its resources are, as in https://lrs.example.com/xAPI.
        since: the first pull takes what was stored from this day on; without it, everything.
        again_days: how many days before the last pull are asked for once more. For stores that
            compare `since` with when something happened, and not with when it was stored: there,
            what a device sends late would never come.
        token_url: where OAuth 2.0 gives a token for client credentials (RFC 6749, section 4.4);
            without it, Basic authentication.
        scope: that the token is asked for.
        version: of xAPI, as the store is asked in it.
    """

    endpoint: str
    since: dt.date | None = None
    again_days: int = Field(0, ge=0)
    token_url: str | None = None
    scope: str | None = None
    version: str = "1.0.3"

    @field_validator("endpoint", "token_url")
    @classmethod
    def _is_encrypted(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if not parts.hostname or parts.username or parts.password or parts.query:
            raise ValueError("must be a URL without a password or a question mark")
        if parts.scheme != "https" and parts.hostname not in LOOPBACK:
            raise ValueError("must begin with https://: people's data and a password go there")
        return url.rstrip("/")
