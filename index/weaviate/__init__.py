"""The versioned index on Weaviate."""

from index.weaviate.adapter import WeaviateIndex
from index.weaviate.client import StoreAddress

__all__ = ["StoreAddress", "WeaviateIndex"]
