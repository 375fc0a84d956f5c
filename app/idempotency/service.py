"""The rules of idempotency keys: a retried request returns the same response and has no second effect."""

import asyncio
import hmac
import re
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self
from uuid import UUID

import orjson
from cryptography.fernet import Fernet, MultiFernet

from app.db.unit_of_work import UnitOfWork
from app.errors import BadUserInput, ResponseTooLarge
from app.idempotency import repository

HEADER = "Idempotency-Key"
KEPT = timedelta(hours=24)
_COMPRESSED_FROM = 16 * 1024
_KEY = re.compile(r"[\x21-\x7e]{8,255}")


@dataclass
class Replay(Exception):
    """The request was already executed; this was its response."""

    response: bytes


@dataclass(frozen=True)
class Secrets:
    """Keys derived from the secret keys that protect stored requests and responses, which may contain passwords and
    tokens. A plain hash of a request would allow guessing them. The first one protects, and each of them reads."""

    cipher: MultiFernet
    fingerprint_keys: Sequence[bytes]

    @classmethod
    def of(cls, secret_keys: tuple[str, ...]) -> Self:
        """Derive the keys."""

        def derived(purpose: bytes) -> list[bytes]:
            return [hmac.digest(key.encode(), purpose, "sha256") for key in secret_keys]

        ciphers = [Fernet(urlsafe_b64encode(key)) for key in derived(b"idempotency response")]
        return cls(MultiFernet(ciphers), derived(b"idempotency fingerprint"))


@dataclass(frozen=True)
class IdempotentRequest:
    """A request with an idempotency key. `made_of` is its document, variables and operation name, which distinguish
    requests that reuse the key. Keys of different viewers are independent."""

    key: str
    viewer_id: UUID | None
    made_of: tuple[object, ...]
    secrets: Secrets
    response_limit: int
    """The most bytes that its response may have."""

    async def claim(self, work: UnitOfWork) -> bytes | None:
        """Claim the key within the transaction; return the response if the request was already executed.

        BadUserInput if the key is malformed or was used for another request.
        """
        if not _KEY.fullmatch(self.key):
            raise BadUserInput(HEADER, "must be 8 to 255 printable ASCII characters without spaces")
        fingerprints = self._fingerprints()
        expired_before = datetime.now(UTC) - KEPT
        earlier = await repository.claim(work, self.scope, self.key, fingerprints[0], expired_before)
        if earlier is None:
            return None
        assert earlier.response is not None, "it was committed with its response"
        if earlier.fingerprint not in fingerprints:
            raise BadUserInput(HEADER, "was used for another request")
        response = self.secrets.cipher.decrypt(earlier.response)
        return response if response.startswith(b"{") else zlib.decompress(response)

    async def keep(self, work: UnitOfWork, response: bytes) -> None:
        """Store the response within the transaction, encrypted because it may contain tokens. ResponseTooLarge if it
        is too large to be stored for a day."""
        if len(response) > self.response_limit:
            raise ResponseTooLarge(self.response_limit, "A response with an Idempotency-Key")
        if len(response) > _COMPRESSED_FROM:
            response = await asyncio.to_thread(zlib.compress, response, level=1)  # takes up to 40 ms
        await repository.keep(work, self.scope, self.key, self.secrets.cipher.encrypt(response))

    @property
    def scope(self) -> str:
        """The owner of the key; anonymous requests share one scope."""
        return "" if self.viewer_id is None else str(self.viewer_id)

    def _fingerprints(self) -> Sequence[bytes]:
        """Return the fingerprint of the request by each key."""
        try:
            text = orjson.dumps(self.made_of, option=orjson.OPT_SORT_KEYS)
        except orjson.JSONEncodeError:
            raise BadUserInput("variables", "are nested too deeply") from None
        return [hmac.digest(key, text, "sha256") for key in self.secrets.fingerprint_keys]
