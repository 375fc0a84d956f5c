"""The rules of idempotency keys: a retried request returns the same response and has no second effect."""

import asyncio
import hmac
import re
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import UUID

import orjson
from cryptography.fernet import Fernet, MultiFernet

from app.db.statements import Record
from app.db.unit_of_work import UnitOfWork
from app.errors import BadUserInput, OutcomeUnknown, ResponseTooLarge, TransactionConflict
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


class KeyRefused(BadUserInput):
    """The key can't be used for this request, or the variables are too deep to compare; nothing is done."""


@dataclass
class IdempotentRequest:
    """One attempt of a request with an idempotency key. `made_of` is its document, variables and operation name, which
    distinguish requests that reuse the key. Keys of different viewers are independent."""

    key: str
    viewer_id: UUID | None
    made_of: tuple[object, ...]
    secrets: Secrets
    response_limit: int
    """The most bytes that its response may have."""
    order_id: UUID | None = None
    """The order that was placed with the key, where the statement that places it claims the key."""
    is_repeat: bool = False
    """Whether that was done by an earlier request, whose response was not stored."""

    async def claim(self, work: UnitOfWork) -> bytes | None:
        """Claim the key within the transaction; return the response if the request was already executed.

        KeyRefused if the key is malformed or was used for another request. OutcomeUnknown if it placed an order without
        a transaction, and its response isn't stored: a limit has been changed since.
        """
        self.require_valid()
        fingerprints = self._fingerprints()
        earlier = await repository.claim(work, self.scope, self.key, fingerprints[0], _expired_before())
        if earlier is None:
            return None
        self._require_same(earlier.fingerprint)
        if earlier.response is None:
            raise OutcomeUnknown
        return self._opened(earlier.response)

    async def keep(self, work: UnitOfWork, response: bytes) -> None:
        """Store the response within the transaction. ResponseTooLarge if it is too large to be stored for a day."""
        if len(response) > self.response_limit:
            raise ResponseTooLarge(self.response_limit, "A response with an Idempotency-Key")
        await repository.keep(work, self.scope, self.key, await self._sealed(response))

    def require_valid(self) -> None:
        """Raise KeyRefused if the key is malformed."""
        if not _KEY.fullmatch(self.key):
            raise KeyRefused(HEADER, "must be 8 to 255 printable ASCII characters without spaces")

    def claiming(self) -> Mapping[str, Any]:
        """Return the parameters of a statement that places an order and claims the key with it, or finds it."""
        self.require_valid()
        return repository.claiming(self.scope, self.key, self._fingerprints()[0], _expired_before())

    async def take_note(self, work: UnitOfWork, placed: Record | None, known: Record | None) -> None:
        """Take note of the order that was placed, or of what is known of the key. Replay the response to an earlier
        request if that is stored; KeyRefused if it was another request; TransactionConflict if the key had expired: the
        next attempt doesn't find it."""
        if placed is not None:
            self.order_id = placed.id
        if known is None:
            return
        if known.key_has_expired:
            await repository.forget_expired(work, self.scope, self.key, _expired_before())
            raise TransactionConflict
        self._require_same(known.key_fingerprint)
        if known.key_response is not None:
            raise Replay(self._opened(known.key_response))
        self.order_id, self.is_repeat = known.key_order_id, True

    async def keep_afterwards(self, work: UnitOfWork, response: bytes) -> Replay | None:
        """Store the response of a mutation without a transaction, whose statement has committed or was refused; return
        the one that another request has stored before. TransactionConflict if that has just placed the order: the next
        attempt finds it."""
        self.require_valid()
        this, sealed = (self.scope, self.key), await self._sealed(response)
        if self.order_id is not None:
            earlier = await repository.complete(work, *this, sealed)
        else:
            earlier = await repository.claim(work, *this, self._fingerprints()[0], _expired_before(), sealed)
        if earlier is None:
            return None
        self._require_same(earlier.fingerprint)
        if earlier.response is None:
            raise TransactionConflict
        return Replay(self._opened(earlier.response))

    @property
    def scope(self) -> str:
        """The owner of the key; anonymous requests share one scope."""
        return "" if self.viewer_id is None else str(self.viewer_id)

    def _fingerprints(self) -> Sequence[bytes]:
        """Return the fingerprint of the request by each key."""
        try:
            text = orjson.dumps(self.made_of, option=orjson.OPT_SORT_KEYS)
        except orjson.JSONEncodeError:
            raise KeyRefused("variables", "are nested too deeply") from None
        return [hmac.digest(key, text, "sha256") for key in self.secrets.fingerprint_keys]

    def _require_same(self, fingerprint: bytes) -> None:
        if fingerprint not in self._fingerprints():
            raise KeyRefused(HEADER, "was used for another request")

    async def _sealed(self, response: bytes) -> bytes:
        """Return the response as it is stored, encrypted because it may contain tokens."""
        if len(response) > _COMPRESSED_FROM:
            response = await asyncio.to_thread(zlib.compress, response, level=1)  # takes up to 40 ms
        return self.secrets.cipher.encrypt(response)

    def _opened(self, sealed: bytes) -> bytes:
        response = self.secrets.cipher.decrypt(sealed)
        return response if response.startswith(b"{") else zlib.decompress(response)


def _expired_before() -> datetime:
    return datetime.now(UTC) - KEPT
