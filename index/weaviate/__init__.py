"""The versioned index on Weaviate."""

from index.model import IndexIdentity
from index.weaviate.adapter import WeaviateIndex
from index.weaviate.client import StoreAddress
from runtime.settings import Settings

__all__ = ["StoreAddress", "WeaviateIndex", "open_index"]


def open_index(settings: Settings, *, read_seconds: float = 5.0) -> WeaviateIndex:
    """The incarnation that the settings name. Connects at its first call."""
    address = StoreAddress(
        settings.weaviate_http,
        settings.weaviate_grpc,
        settings.weaviate_api_key.get_secret_value(),
        settings.weaviate_secure,
    )
    identity = IndexIdentity(settings.generation, settings.incarnation)
    return WeaviateIndex(address, identity, read_seconds=read_seconds)
