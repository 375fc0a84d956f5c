"""Tokens: short-lived JWTs for access, and unguessable refresh tokens stored as hashes."""

import hashlib
import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import jwt

from app.errors import EXPIRED, Unauthenticated
from app.security.viewer import Viewer

_ALGORITHM = "HS256"
_ISSUER = "orders-api"
_TOKENS_KEPT = 1_000
_NOT_VALID = "The access token is not valid."
LEEWAY = timedelta(seconds=30)
"""How far the clocks of two servers may differ: a token is accepted this long before it was issued and after it
expired."""


class Login(NamedTuple):
    """Who sent a request, according to its access token; nobody without a token."""

    viewer: Viewer | None = None
    expires_at: float | None = None
    """Until when the token is accepted, in seconds since 1970; the leeway is included."""
    session_id: UUID | None = None
    """The session that the token belongs to."""


NOBODY = Login()


@dataclass(frozen=True)
class AccessTokens:
    """Signs access tokens with the first key, and reads those that were signed with any of the keys."""

    secret_keys: tuple[str, ...]
    lifetime: timedelta

    def issue(self, viewer: Viewer, session_id: UUID) -> tuple[str, datetime]:
        """Return a token of the viewer's session, and when it expires."""
        now = datetime.now(UTC).replace(microsecond=0)
        expires_at = now + self.lifetime
        claims = {
            "iss": _ISSUER,
            "sub": str(viewer.id),
            "sid": str(session_id),
            "superuser": viewer.is_superuser,
            "iat": now,
            "exp": expires_at,
        }
        key_id, key = next(iter(self._keys.items()))
        return jwt.encode(claims, key, algorithm=_ALGORITHM, headers={"kid": key_id}), expires_at

    def login(self, authorization: str) -> Login:
        """Read an Authorization header; Unauthenticated if its token is not valid, or no longer."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("The Authorization header must be `Bearer` and an access token.")
        login = self._verified(token.strip())
        if login.expires_at is not None and login.expires_at <= time.time():
            raise Unauthenticated(EXPIRED)
        return login

    def login_or_nobody(self, authorization: str | None) -> Login:
        """Read an Authorization header; nobody if there is none, or its token is not valid."""
        try:
            return NOBODY if authorization is None else self.login(authorization)
        except Unauthenticated:
            return NOBODY

    @cached_property
    def _keys(self) -> Mapping[str, str]:
        """The keys by their ids, which reveal nothing about them."""
        return {hmac.digest(key.encode(), b"access token", "sha256")[:8].hex(): key for key in self.secret_keys}

    @cached_property
    def _verified(self) -> Callable[[str], Login]:
        """Verify each token's signature once: it takes 0.1 ms, and clients send the same token many times."""
        return lru_cache(_TOKENS_KEPT)(self._verify)

    def _verify(self, token: str) -> Login:
        try:
            claims = self._claims(token)
            viewer = Viewer(id=UUID(claims["sub"]), is_superuser=claims.get("superuser") is True)
            return Login(viewer, int(claims["exp"]) + LEEWAY.total_seconds(), UUID(claims["sid"]))
        except jwt.ExpiredSignatureError:
            raise Unauthenticated(EXPIRED) from None
        except (jwt.InvalidTokenError, ValueError, AttributeError):
            raise Unauthenticated(_NOT_VALID) from None

    def _claims(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a token, which names its key; if 2.0.0 issued it, it may be any of them."""
        key_id = jwt.get_unverified_header(token).get("kid")
        for key in [key for name, key in self._keys.items() if key_id in (name, None)]:
            with suppress(jwt.InvalidSignatureError):
                return jwt.decode(
                    token,
                    key,
                    algorithms=[_ALGORITHM],
                    issuer=_ISSUER,
                    leeway=LEEWAY,
                    options={"require": ["sub", "sid", "exp", "iss"]},
                )
        raise jwt.InvalidSignatureError


@dataclass(frozen=True)
class RefreshTokens:
    """Makes refresh tokens of 256 bits, URL-safe. The first of a session is random. Each later one is derived from the
    one it is exchanged for, so that it can be returned again although only its hash is stored. Nobody else can derive
    it: that takes the earlier token, which isn't stored either, a secret key, and the random key of the new one."""

    secret_keys: tuple[str, ...]
    lifetime: timedelta

    def first(self) -> str:
        """Return the first token of a session."""
        return secrets.token_urlsafe(32)

    def successor(self, token: str, key: UUID) -> str:
        """Return the token with this key that follows another."""
        return _derived(self.secret_keys[0], token, key)

    def repeated_successor(self, token: str, key: UUID, token_hash: bytes) -> str | None:
        """Return the token with this key and hash, if it follows this other one."""
        derived = (_derived(secret_key, token, key) for secret_key in self.secret_keys)
        return next((each for each in derived if refresh_token_hash(each) == token_hash), None)


def _derived(secret_key: str, token: str, key: UUID) -> str:
    content = b"refresh token" + key.bytes + token.encode()
    return urlsafe_b64encode(hmac.digest(secret_key.encode(), content, "sha256")).decode().rstrip("=")


def refresh_token_hash(token: str) -> bytes:
    """Return the stored hash of a refresh token; a fast one suffices for random data."""
    return hashlib.sha256(token.encode()).digest()
