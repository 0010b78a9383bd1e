"""The one place that runs diffusers: requests in, pixels out.

Neither knows where the requests come from nor where the images go. Importing this module imports
no torch; `load_generator` does.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np

from synfill.config.generator import GeneratorSettings
from synfill.devices import free_caches, is_out_of_memory
from synfill.errors import RunError
from synfill.generation.models.families.family import find_family
from synfill.generation.models.guidance import interval_arguments
from synfill.generation.models.resolve import ResolvedModel, resolve_model
from synfill.generation.pipeline.load import load_pipeline
from synfill.generation.pipeline.prompt_cache import PromptCache
from synfill.generation.pipeline.samples import OutOfMemory, Pending, hand_over
from synfill.records import ModelInfo, Request, Sample


class Generator:
    """A loaded pipeline that makes one image a request.

    Args:
        pipe: A diffusers text-to-image pipeline, on its device.
        model: Its settings.
    """

    def __init__(self, pipe: Any, model: ResolvedModel) -> None:
        self.model = model
        self._pipe = pipe
        self._family = find_family(model.family)
        self._cache = PromptCache(pipe, model) if self._family.encodes else None
        self._accepted = inspect.signature(pipe.__call__).parameters
        # A compiled denoiser is kept to one batch size: every other one is compiled anew.
        self._static_batch = 0
        self._decoder_dtype = getattr(getattr(pipe, "vae", None), "dtype", None)

    @property
    def info(self) -> ModelInfo:
        """The model as the card and run.json name it."""
        return self.model.info()

    def with_steps(self, steps: int) -> Generator:
        """The same pipeline and prompt cache with another number of steps."""
        other = copy(self)
        other.model = replace(self.model, steps=steps)
        return other

    def expect(self, requests: Iterable[Request], batch_size: int) -> None:
        """Hear what will be asked for, before the first batch.

        A compiled denoiser fills smaller batches up to this size, so that it is compiled once, and
        an image doesn't depend on whether a full batch was made before in this session.

        Prompts are encoded ahead, and the text encoders then taken off the GPU, unless they are in
        nobody's way (without a CUDA GPU, or with `offload`) or the embeddings of all prompts are
        too large to be kept. A prompt that wasn't named brings them back.
        """
        import torch

        self._static_batch = batch_size
        if self._cache is None or self.model.offload or not self.model.device.startswith("cuda"):
            return
        pairs = dict.fromkeys((request.prompt, request.negative_prompt) for request in requests)
        try:
            with torch.inference_mode():
                if self._cache.keep_all(list(pairs)):
                    self._cache.park_encoders()
        except RuntimeError as error:
            # Then prompts are encoded when they are needed, and it is told there what can be done.
            if not is_out_of_memory(error):
                raise
        free_caches()

    def make(self, requests: Sequence[Request]) -> list[Sample]:
        """Make one image for each request and wait for them; see `start`."""
        return self.start(requests)()

    def start(self, requests: Sequence[Request]) -> Pending:
        """Begin to make one image for each request.

        An image depends on its own prompt, negative prompt and seed, and neither on how many
        others are made with it nor on which (but for rounding: on the CPU in float32 within one
        grey level).

        Args:
            requests: What is wanted; each seed from 0 to 2**63 - 1.

        Returns:
            What waits for as many images, in order: a GPU may still be at work on them.

        Raises:
            OutOfMemory: The batch is too large for the device. A smaller one can be tried.
            RunError: The pipeline makes no RGB images.
        """
        # Some that can't share one call of the pipeline without changing each other.
        groups: dict[object, list[int]] = {}
        for place, request in enumerate(requests):
            key: object = None
            if not self._family.encodes:
                # Some pipelines pad the prompts of a call to the longest of them.
                key = (request.prompt, request.negative_prompt)
            elif self._family.splits_negatives:
                key = bool(request.negative_prompt)
            groups.setdefault(key, []).append(place)
        begun = [
            (group, self._start_group([requests[i] for i in group])) for group in groups.values()
        ]

        def wait() -> list[Sample]:
            placed = {
                i: sample
                for group, pending in begun
                for i, sample in zip(group, pending(), strict=True)
            }
            return [placed[i] for i in range(len(requests))]

        return wait

    def _start_group(self, requests: list[Request]) -> Pending:
        wanted = len(requests)
        if self.model.compile:
            self._static_batch = max(self._static_batch, wanted)
            requests = requests + requests[-1:] * (self._static_batch - wanted)
        try:
            return self._call(requests, wanted)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Outside of the handler: its traceback would keep the tensors of the failed call alive.
        self._static_batch = 0
        # Some pipelines decode in float32, and take that back only if they come to the end.
        if self._decoder_dtype is not None and self._pipe.vae.dtype != self._decoder_dtype:
            self._pipe.vae.to(dtype=self._decoder_dtype)
        free_caches()
        raise OutOfMemory(wanted)

    def _call(self, requests: list[Request], wanted: int) -> Pending:
        import torch

        model = self.model
        width, height = model.size
        arguments: dict[str, Any] = {
            "num_inference_steps": model.steps,
            "guidance_scale": model.guidance_scale,
            "width": width,
            "height": height,
            # Drawn on the CPU, one generator an image: the same noise on every device, whatever
            # is made beside it.
            "generator": [torch.Generator("cpu").manual_seed(one.seed) for one in requests],
            "output_type": "pt",
        }
        prompts = [request.prompt for request in requests]
        negatives = [request.negative_prompt for request in requests]
        with torch.inference_mode(), np.errstate(invalid="ignore"):
            if self._cache is not None:
                embeddings = self._cache.batch(prompts, negatives)
                call = self._family.call_arguments(embeddings)
                arguments |= {name: call[name] for name in call if name in self._accepted}
                interval = model.guidance_interval
                if interval is not None and "negative_prompt_embeds" in embeddings:
                    arguments |= interval_arguments(
                        interval, model.guidance_scale, model.steps, embeddings
                    )
                else:
                    arguments |= embeddings
            else:
                arguments["prompt"] = prompts
                takes = model.negative_prompts and "negative_prompt" in self._accepted
                if takes and any(negatives):
                    arguments["negative_prompt"] = negatives
            output = self._pipe(**arguments)
            images = self._check_images(output.images)[:wanted]
            flags = getattr(output, "nsfw_content_detected", None) or [False] * wanted
            return hand_over(images, flags[:wanted])

    def _check_images(self, images: Any) -> Any:
        import torch

        if not isinstance(images, torch.Tensor) or images.ndim != 4 or images.shape[1] != 3:
            raise RunError(
                f"{self.model.id} ({self.model.pipeline}) gives no RGB images.",
                "Choose a pipeline that makes ordinary colour images.",
            )
        return images


def load_generator(
    settings: GeneratorSettings | ResolvedModel, *, verbose: bool = False
) -> Generator:
    """Load a text-to-image model, fetching it from the Hub where it must be.

    Args:
        settings: What the user asked for, or what `resolve_model` made of it.
        verbose: Show diffusers' and transformers' progress and warnings.

    Raises:
        UsageError: See `resolve_model`; not a text-to-image pipeline; weights only as pickle; a
            LoRA for another model.
        RunError: The weights can't be had or are broken.
    """
    model = settings if isinstance(settings, ResolvedModel) else resolve_model(settings)
    pipe, loaded = load_pipeline(model, verbose=verbose)
    return Generator(pipe, loaded)
