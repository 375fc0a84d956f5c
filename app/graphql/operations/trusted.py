"""Documents that clients name by a hash: those of a manifest that their build wrote, and those they sent before."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from app.errors import DocumentNotFound, DocumentsNotNamed, HashMismatch
from app.graphql.operations.cache import Cache
from app.settings import Trust

_DOCUMENTS_KEPT = 1_000
_CHARACTERS_KEPT = 2_000_000
_PREFIX = "sha256:"


def hash_in(request: Mapping[str, Any]) -> str | None:
    """Return the hash by which the parameters of a request name its document: as `documentId`, or as Apollo's
    `extensions.persistedQuery.sha256Hash`."""
    match request:
        case {"documentId": str(name)} | {"extensions": {"persistedQuery": {"sha256Hash": str(name)}}}:
            return name
    return None


class TrustedDocuments:
    """Finds documents by their hashes, and decides which may be executed.

    `off`: only whole documents are sent. `allow`: a hash stands for a document of the manifest, or for one that was
    sent with its hash before (automatic persisted queries). `require`: nothing runs that is not in the manifest."""

    def __init__(self, trust: Trust, file: Path | None = None) -> None:
        """Read the manifest, if there is one; ValueError if the file isn't one."""
        manifest = {} if file is None else orjson.loads(file.read_bytes())
        if not (isinstance(manifest, dict) and all(isinstance(text, str) for text in manifest.values())):
            raise ValueError(f"{file} is not a JSON object of documents by their hashes")
        self._trust = trust
        self._manifest: dict[str, str] = {hash_.removeprefix(_PREFIX): text for hash_, text in manifest.items()}
        self._texts = {*self._manifest.values()}
        self._sent: Cache[str, str] = Cache(_DOCUMENTS_KEPT, _CHARACTERS_KEPT)

    def includes(self, text: str) -> bool:
        """Return whether a document is in the manifest."""
        return text in self._texts

    def text(self, sent: str | None, name: str) -> str:
        """Return the document with this hash, which may have been sent as well. DocumentNotFound asks the client to
        send it, HashMismatch rejects a wrong hash, DocumentsNotNamed means that only whole documents are accepted."""
        hash_ = name.removeprefix(_PREFIX)
        known = self._manifest.get(hash_)
        if known is None:
            known = self._sent.find(hash_)
        if sent is None:
            if self._trust is Trust.OFF:
                raise DocumentsNotNamed
            if known is None:
                raise DocumentNotFound
            return known
        if sent != known and self._trust is Trust.ALLOW:
            if hash_ in self._manifest or sha256(sent.encode()).hexdigest() != hash_.lower():
                raise HashMismatch
            self._sent.add(hash_, sent, len(sent))
        return sent
