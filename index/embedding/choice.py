"""Which embedder the settings name: an endpoint where they give an address, else a local model."""

from typing import TYPE_CHECKING

from index.embedding.minilm import Progress
from index.embedding.port import Embedder, Recipe
from runtime.settings import Settings

if TYPE_CHECKING:
    from index.embedding.endpoint import EndpointConfig


def open_embedder(settings: Settings, *, threads: int | None = None, progress: Progress = lambda _: None) -> Embedder:
    """Ready to embed; a local model is loaded. Raises ConfigError."""
    if settings.embedding_url:
        from index.embedding.endpoint import EndpointEmbedder

        return EndpointEmbedder(_endpoint(settings))
    from index.embedding.fastembed_model import load_embedder

    return load_embedder(
        settings.embedding_model,
        cache_dir=settings.cache_dir,
        threads=threads or settings.embedding_threads,
        progress=progress,
    )


def embedding_recipe(settings: Settings) -> Recipe:
    """What it would embed by; the default model is not loaded for it. Raises ConfigError."""
    if settings.embedding_url:
        return _endpoint(settings).recipe
    from index.embedding.fastembed_model import recipe_of_model

    return recipe_of_model(settings.embedding_model, cache_dir=settings.cache_dir)


def _endpoint(settings: Settings) -> "EndpointConfig":
    from index.embedding.endpoint import EndpointConfig

    return EndpointConfig(
        settings.embedding_url,
        settings.embedding_model,
        settings.embedding_key,
        settings.embedding_dimension,
        settings.embedding_max_tokens,
    )
