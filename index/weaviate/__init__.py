"""The versioned index on Weaviate."""

import warnings

from index.model import IndexIdentity
from runtime.settings import Settings

# A dependency of the official client prints a deprecation notice whenever it is imported.
with warnings.catch_warnings(record=True):
    from index.weaviate.adapter import WeaviateIndex
    from index.weaviate.client import StoreAddress

__all__ = ["StoreAddress", "WeaviateIndex", "open_build", "open_index"]


def open_index(settings: Settings, *, read_seconds: float = 5.0) -> WeaviateIndex:
    """The incarnation that the settings name. Connects at its first call."""
    identity = IndexIdentity(settings.generation, settings.incarnation)
    return open_build(settings, identity, read_seconds=read_seconds)


def open_build(settings: Settings, identity: IndexIdentity, *, read_seconds: float = 5.0) -> WeaviateIndex:
    """Any incarnation in the settings' store."""
    address = StoreAddress(
        settings.weaviate_http,
        settings.weaviate_grpc,
        settings.weaviate_api_key.get_secret_value(),
        settings.weaviate_secure,
    )
    return WeaviateIndex(address, identity, read_seconds=read_seconds)
