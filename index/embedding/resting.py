"""A fastembed model whose ONNX Runtime threads sleep between embeddings instead of spinning.

Spinning takes a core from the process that would use it next: on 2 busy cores 2 spinning threads embedded 9
chunks/s and took 31 ms for a question, 2 sleeping ones 54 chunks/s and 10 ms.
"""

from typing import Any

import onnxruntime as ort
from fastembed.text.custom_text_embedding import CustomTextEmbedding


class RestingTextEmbedding(CustomTextEmbedding):
    """fastembed's custom text model with ONNX Runtime's thread spinning off."""

    @classmethod
    def add_extra_session_options(cls, session_options: ort.SessionOptions, extra_options: dict[str, Any]) -> None:
        """Called by fastembed while it opens the session."""
        super().add_extra_session_options(session_options, extra_options)
        for threads in ("intra_op", "inter_op"):
            session_options.add_session_config_entry(f"session.{threads}.allow_spinning", "0")
