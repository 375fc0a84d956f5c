"""Clients, as limits count them: a user, wherever they are, or else the network of an address."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import NamedTuple, Self

from app.security.viewer import Viewer


class Client(NamedTuple):
    """A user who is logged in, or everyone without a login at an address."""

    name: str
    is_anonymous: bool

    @classmethod
    def of(cls, viewer: Viewer | None, address: str) -> Self:
        """Return the client that this viewer is, or else this address."""
        return cls(f"user {viewer.id}", False) if viewer is not None else cls(f"address {network(address)}", True)


class Holder(NamedTuple):
    """Whose a connection is, and where it comes from."""

    client: Client
    site: str

    @classmethod
    def of(cls, viewer: Viewer | None, address: str) -> Self:
        """Return this viewer, or else everyone without a login, at this address."""
        return cls(Client.of(viewer, address), site(address))


@lru_cache(10_000)
def network(address: str) -> str:
    """Return the network of one device, or of a home, that has this address: with IPv6, 2⁶⁴ addresses to choose from.
    Whatever isn't an address is the same for all: a proxy may pass on what clients write."""
    return _within(address, 64)


@lru_cache(10_000)
def site(address: str) -> str:
    """Return the largest network that one customer has: with IPv6, 2¹⁶ networks of devices. Several customers may share
    one, so this is for what nobody may take from everyone."""
    return _within(address, 48)


def _within(address: str, bits: int) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, IPv4Address):
        return address
    return str(parsed.ipv4_mapped or IPv6Network((parsed, bits), strict=False).network_address)
