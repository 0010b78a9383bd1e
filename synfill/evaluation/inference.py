"""What a network says of a set of images, in one pass, on one process or many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from synfill.training.augment.augmenter import plain
from synfill.training.images.pixels import ImageSet
from synfill.training.network.spec import ClassifierSpec

if TYPE_CHECKING:
    from accelerate import Accelerator

_BATCH, _USUAL_SIDE = 256, 224


@torch.no_grad()
def evaluate(
    network: nn.Module,
    images: ImageSet,
    spec: ClassifierSpec,
    accelerator: Accelerator,
    channels_last: bool = False,
) -> NDArray[np.float32]:
    """The probabilities that a network gives to the classes, for every image of a set.

    Args:
        network: The network; it is left in evaluation mode.
        images: The set.
        spec: How it sees images, and its classes.
        accelerator: Where it runs. Each process takes its share; all get the whole result.
        channels_last: Lay images out channels-last.

    Returns:
        float32, shape (images, classes); each row sums to 1.
    """
    network.eval()
    world, rank = accelerator.num_processes, accelerator.process_index
    count = len(images)
    # All shares are of one size, or they couldn't be gathered: some images are looked at twice.
    share = -(-count // world)
    mine = np.arange(rank * share, (rank + 1) * share) % count
    # As many pixels at a time as 256 images of the usual size have: more take too much memory.
    size = max(1, int(_BATCH * min(1.0, (_USUAL_SIDE / spec.image_size) ** 2)))
    batches = [mine[start : start + size] for start in range(0, share, size)]
    found = []
    for pixels in images.pixels.batches(batches):
        shown = plain(pixels, spec)
        if channels_last:
            shown = shown.contiguous(memory_format=torch.channels_last)
        found.append(network(shown).float().softmax(dim=1))
    empty = torch.empty(0, len(spec.classes), device=accelerator.device)
    gathered = accelerator.gather(torch.cat([empty, *found]))[:count]
    whole: NDArray[np.float32] = gathered.cpu().numpy()
    return whole
