"""What a kind of networks gives: its names, what is wrong with one, the network itself.

A kind is a subclass in a file of its own and a line in `NETWORKS`. Its module imports neither
torch nor the library that the networks are from: names are checked before those are needed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from synfill.config.recipes.settings import ModelSettings
from synfill.config.registry import Component
from synfill.records import Channels

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class NetworkProblem:
    """Why there is no such network.

    Attributes:
        key: The key of `model` that is wrong.
        message: What is wrong, as a sentence without its full stop.
        hint: What to do, in sentences.
    """

    key: Literal["name", "pretrained"]
    message: str
    hint: str


class NetworkKind(Component):
    """Networks of one origin, each by its name.

    Attributes:
        notation: How its names are written, for a hint, where `names` can't list them.
    """

    notation: ClassVar[str] = ""

    def names(self) -> Collection[str]:
        """The names to suggest, in the order in which they are listed."""
        return ()

    def has(self, name: str) -> bool:
        """Whether a name belongs to this kind; it may still be wrong."""
        return name in self.names()

    def suggest(self, name: str) -> str | None:
        """A hint for a name that is nobody's, where it looks like one of this kind's."""
        return None

    def find_problem(self, settings: ModelSettings) -> NetworkProblem | None:
        """What is wrong with a name of this kind, as far as can be told without its library."""
        return None

    def inspect(self, settings: ModelSettings) -> NetworkProblem | None:
        """What else is wrong with it; the library may be imported, nothing is fetched."""
        return None

    def build(self, settings: ModelSettings, classes: int, image_size: int) -> nn.Module:
        """The network on the CPU, its weights random, from torch's global generator.

        Args:
            settings: Its name. Where it is to be pretrained, the structure that its weights need.
            classes: Outputs.
            image_size: Side of the images in pixels, for networks that are made for one size.

        Returns:
            From float images (b, 3, S, S) to logits (b, classes).

        Raises:
            Exception: Whatever the network itself raises at an image size that it can't have.
        """
        raise NotImplementedError

    def load_pretrained(
        self, network: nn.Module, settings: ModelSettings, classifier: str, image_size: int
    ) -> nn.Module:
        """The network with pretrained weights in all but its classifier, which stays random.

        Args:
            network: What `build` gave for the same settings.
            settings: Its name.
            classifier: The name of its last layer.
            image_size: As for `build`.

        Raises:
            OSError, RuntimeError, ValueError: The weights can't be fetched or read.
        """
        raise NotImplementedError

    def statistics(self, name: str) -> tuple[Channels, Channels]:
        """Mean and standard deviation of each channel (RGB, 0..1) that pretrained weights want."""
        raise NotImplementedError
