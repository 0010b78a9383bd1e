"""Keeps the embeddings of prompts, so that each is encoded once. Knows no pipeline's ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from synfill.generation.models.families.family import Embeddings, find_family
from synfill.generation.models.resolve import ResolvedModel

_LIMIT: Final = 2 << 30
_ENCODERS: Final = ("text_encoder", "text_encoder_2", "text_encoder_3")


class PromptCache:
    """The embeddings of the prompts that were used last, in main memory.

    Encodes one prompt at a time, so that its embeddings don't depend on the prompts beside it.

    Args:
        pipe: The pipeline.
        model: Its settings; of a family that encodes.
        limit: Bytes to keep; the least recently used prompts go first.
    """

    def __init__(self, pipe: Any, model: ResolvedModel, limit: int = _LIMIT) -> None:
        self._pipe = pipe
        self._model = model
        self._family = find_family(model.family)
        self._limit = limit
        self._bytes = 0
        self._kept: dict[tuple[str, str], Embeddings] = {}
        # Text encoders that were taken off the device, by their name in the pipeline.
        self._parked: dict[str, Any] = {}

    def batch(self, prompts: list[str], negatives: list[str]) -> Embeddings:
        """The embeddings of several prompts, each tensor of shape (prompts, ...), on the device."""
        import torch

        found = [self._of(*pair) for pair in zip(prompts, negatives, strict=True)]
        device = self._pipe._execution_device
        return {name: torch.cat([each[name] for each in found]).to(device) for name in found[0]}

    def keep_all(self, pairs: Sequence[tuple[str, str]]) -> bool:
        """Encode these prompts if all of them can be kept.

        Args:
            pairs: Prompts with their negative prompts, each pair once.

        Returns:
            Whether they are kept. If not, they are encoded when they are asked for.
        """
        if not pairs or _bytes(self._of(*pairs[0])) * len(pairs) > self._limit:
            return False
        for pair in pairs:
            self._of(*pair)
        return True

    def park_encoders(self) -> None:
        """Take the text encoders off the device, until a prompt comes that isn't kept."""
        for name in _ENCODERS:
            encoder = getattr(self._pipe, name, None)
            if encoder is not None:
                self._parked[name] = encoder.to("cpu")
                # Not left in place: the pipeline takes its own device from its parts'.
                self._pipe.register_modules(**{name: None})

    def _of(self, prompt: str, negative: str) -> Embeddings:
        key = (prompt, negative)
        found = self._kept.pop(key, None)
        if found is None:
            self._unpark_encoders()
            encoded = self._family.encode(self._pipe, self._model, prompt, negative)
            found = {name: tensor.to("cpu") for name, tensor in encoded.items()}
            self._bytes += _bytes(found)
        self._kept[key] = found  # the last place is the most recent one
        while self._bytes > self._limit and len(self._kept) > 1:
            self._bytes -= _bytes(self._kept.pop(next(iter(self._kept))))
        return found

    def _unpark_encoders(self) -> None:
        for name, encoder in self._parked.items():
            self._pipe.register_modules(**{name: encoder.to(self._pipe._execution_device)})
        self._parked.clear()


def _bytes(embeddings: Embeddings) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in embeddings.values())
