"""The rules of idempotency keys: the same request again has the same response and no second effect."""

import hmac
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self
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
class Secrets:
    """What guards what is kept, both derived from the secret key: requests and responses may hold passwords and
    tokens, and a plain hash would let them be guessed."""

    cipher: Fernet
    fingerprint_key: bytes

    @classmethod
    def of(cls, secret_key: str) -> Self:
        """Derive them."""
        cipher_key, fingerprint_key = (
            hmac.digest(secret_key.encode(), purpose, "sha256")
            for purpose in (b"idempotency response", b"idempotency fingerprint")
        )
        return cls(Fernet(urlsafe_b64encode(cipher_key)), fingerprint_key)


@dataclass(frozen=True)
class IdempotentRequest:
    """A request with a key, and what it is made of: document, variables, name of the operation, which tell requests
    under one key apart. Another viewer's key is another key."""

    key: str
    viewer_id: UUID | None
    made_of: tuple[object, ...]
    secrets: Secrets

    async def claim(self, session: AsyncSession) -> bytes | None:
        """Claim the key within the transaction; return the response where the request has been made before.

        BadUserInput where the key is malformed or was used for another request.
        """
        if not _KEY.fullmatch(self.key):
            raise BadUserInput(HEADER, "must be 8 to 255 printable characters of ASCII without spaces")
        fingerprint = self._fingerprint()
        await repository.forget(session, self.scope, self.key, datetime.now(UTC) - KEPT)
        if await repository.claim(session, self.scope, self.key, fingerprint):
            return None
        earlier = await repository.find(session, self.scope, self.key)
        assert earlier is not None, "it was found by the claim"
        assert earlier.response is not None, "it was committed with its response"
        if earlier.fingerprint != fingerprint:
            raise BadUserInput(HEADER, "was used for another request")
        return self.secrets.cipher.decrypt(earlier.response)

    async def keep(self, session: AsyncSession, response: bytes) -> None:
        """Keep the response within the transaction. It may hold tokens, so it is encrypted."""
        await repository.keep(session, self.scope, self.key, self.secrets.cipher.encrypt(response))

    @property
    def scope(self) -> str:
        """Whose key it is; requests without a login share one scope."""
        return "" if self.viewer_id is None else str(self.viewer_id)

    def _fingerprint(self) -> bytes:
        try:
            text = orjson.dumps(self.made_of, option=orjson.OPT_SORT_KEYS)
        except orjson.JSONEncodeError:
            raise BadUserInput("variables", "are nested too deeply") from None
        return hmac.digest(self.secrets.fingerprint_key, text, "sha256")
