"""The rules of idempotency keys: the same request again has the same response and no second effect."""

import hashlib
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson
from cryptography.fernet import Fernet
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import BadUserInput
from app.idempotency import repository

HEADER = "Idempotency-Key"
KEPT = timedelta(hours=24)
_KEY = re.compile(r"[\x21-\x7e]{8,255}")


class Replay(Exception):
    """The request has been made before; this was its response."""

    def __init__(self, response: bytes) -> None:
        super().__init__()
        self.response = response


@dataclass(frozen=True)
class IdempotentRequest:
    """A request with a key. Another viewer's key is another key; the fingerprint tells requests under one apart."""

    key: str
    viewer_id: UUID | None
    fingerprint: bytes
    cipher: Fernet

    async def claim(self, session: AsyncSession) -> bytes | None:
        """Claim the key within the transaction; return the response where the request has been made before.

        BadUserInput where the key is malformed or was used for another request.
        """
        if not _KEY.fullmatch(self.key):
            raise BadUserInput(HEADER, "must be 8 to 255 printable characters of ASCII without spaces")
        await repository.forget(session, self.scope, self.key, datetime.now(UTC) - KEPT)
        if await repository.claim(session, self.scope, self.key, self.fingerprint):
            return None
        earlier = await repository.find(session, self.scope, self.key)
        assert earlier is not None, "it was found by the claim"
        assert earlier.response is not None, "it was committed with its response"
        if earlier.fingerprint != self.fingerprint:
            raise BadUserInput(HEADER, "was used for another request")
        return self.cipher.decrypt(earlier.response)

    async def keep(self, session: AsyncSession, response: bytes) -> None:
        """Keep the response within the transaction. It may hold tokens, so it is encrypted."""
        await repository.keep(session, self.scope, self.key, self.cipher.encrypt(response))

    @property
    def scope(self) -> str:
        """Whose key it is; requests without a login share one scope."""
        return "" if self.viewer_id is None else str(self.viewer_id)


def fingerprint(*parts: object) -> bytes:
    """Return what tells requests apart, of what makes them: document, variables, name of the operation."""
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).digest()


def response_cipher(secret_key: str) -> Fernet:
    """Return what encrypts the responses that are kept, under a key derived from the secret."""
    return Fernet(urlsafe_b64encode(hashlib.sha256(b"idempotency" + secret_key.encode()).digest()))
