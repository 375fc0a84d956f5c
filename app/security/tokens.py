"""Tokens: short JWTs that grant access, and random refresh tokens of which only the hash is kept."""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from uuid import UUID

import jwt

from app.errors import EXPIRED, Unauthenticated
from app.security.viewer import Viewer

_ALGORITHM = "HS256"
_ISSUER = "orders-api"
_TOKENS_KEPT = 1_000


@dataclass(frozen=True)
class AccessTokens:
    """Signs and reads access tokens."""

    secret_key: str
    lifetime: timedelta

    def issue(self, viewer: Viewer) -> tuple[str, datetime]:
        """Return a token for the viewer and when it expires."""
        now = datetime.now(UTC).replace(microsecond=0)
        expires_at = now + self.lifetime
        claims = {
            "iss": _ISSUER,
            "sub": str(viewer.id),
            "superuser": viewer.is_superuser,
            "iat": now,
            "exp": expires_at,
        }
        return jwt.encode(claims, self.secret_key, algorithm=_ALGORITHM), expires_at

    def read(self, token: str) -> Viewer:
        """Return whom the token was issued to; Unauthenticated says why it is no good."""
        viewer, expires_at = self._verified(token)
        if expires_at <= time.time():
            raise Unauthenticated(EXPIRED)
        return viewer

    def expires_at(self, token: str) -> float:
        """Return when the token, which is good, will no longer be."""
        return self._verified(token)[1]

    @cached_property
    def _verified(self) -> Callable[[str], tuple[Viewer, int]]:
        """The check of a signature, which takes 0.1 ms: once for each token, as a client sends it many times."""
        return lru_cache(_TOKENS_KEPT)(self._verify)

    def _verify(self, token: str) -> tuple[Viewer, int]:
        try:
            claims = jwt.decode(
                token,
                self.secret_key,
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                options={"require": ["sub", "exp", "iss"]},
            )
            viewer = Viewer(id=UUID(claims["sub"]), is_superuser=claims.get("superuser") is True)
        except jwt.ExpiredSignatureError:
            raise Unauthenticated(EXPIRED) from None
        except (jwt.InvalidTokenError, ValueError):
            raise Unauthenticated("The access token is not valid.") from None
        return viewer, int(claims["exp"])


def new_refresh_token() -> str:
    """Return 256 random bits, URL-safe."""
    return secrets.token_urlsafe(32)


def refresh_token_hash(token: str) -> bytes:
    """Return what is kept of a refresh token; it is random, so a fast hash is enough."""
    return hashlib.sha256(token.encode()).digest()
