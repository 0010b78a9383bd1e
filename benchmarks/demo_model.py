"""Does the demo's generator draw what it is asked for, and how fast? Prints tables.

    python benchmarks/demo_model.py                                    # as the demo uses it
    python benchmarks/demo_model.py --steps 6 8 10 --guidance 1.5 2 3  # which are best

A small classifier is trained on the real pool in all inks. Its accuracy on the real test scans is
compared with how often it names the digit that a fresh sample was asked for; the ink is the one
nearest by colour. "near" is the median distance to the nearest pool image, "spread" that to the
nearest image of the same digit and ink in the same set (root mean squared difference, 0..255):
near 0 would be copies of the pool, spread 0 one image again and again. The model was trained on
the pool, the classifier too; neither on test scans.
"""

from __future__ import annotations

import argparse
import io
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers import AutoPipelineForText2Image, DiffusionPipeline
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from synfill.balancing.prompts import PromptBook, PromptWriter
from synfill.data.sources.demo import DIGITS, INKS, PAPER, DemoSource
from synfill.records import Cell

SHIPPED = Path(__file__).parent.parent / "synfill" / "generation" / "models" / "demo"


@dataclass(frozen=True)
class Sampling:
    """How samples are made.

    Attributes:
        scheduler: A class of diffusers; "" for the one in the folder; "+karras" is added for
            Karras' spacing of the noise levels.
        steps: Inference steps.
        guidance: Guidance scale.
        batch: Images a batch.
    """

    scheduler: str
    steps: int
    guidance: float
    batch: int


def read_real(source: DemoSource, split: str) -> tuple[Tensor, Tensor, Tensor]:
    """Images as uint8, shape (images, 3, 32, 32), and their digits and inks."""
    pixels = [
        np.asarray(Image.open(io.BytesIO(entry["bytes"])))
        for _, batch in source.iter_rows(split)
        for entry in batch["image"].to_pylist()
    ]
    labels = (
        torch.tensor(source.read_column(split, name).to_pylist()) for name in ("label", "ink")
    )
    digits, inks = labels
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2), digits, inks


def train_classifier(pixels: Tensor, digits: Tensor, epochs: int, seed: int) -> nn.Module:
    """A small convolutional network, trained with shifts of up to two pixels."""
    torch.manual_seed(seed)

    def block(before: int, after: int) -> list[nn.Module]:
        convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]

    model = nn.Sequential(
        *block(3, 24),
        *block(24, 48),
        *block(48, 96),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(96 * 16, 10),
    )
    batch = 128
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    steps = epochs * (len(pixels) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(epochs):
        order = torch.randperm(len(pixels))
        for start in range(0, len(pixels) - batch + 1, batch):
            chosen = order[start : start + batch]
            shift = torch.randint(-2, 3, (2,)).tolist()
            images = torch.roll(to_range(pixels[chosen]), shift, (2, 3))
            loss = nn.functional.cross_entropy(model(images), digits[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def to_range(pixels: Tensor) -> Tensor:
    """uint8 0..255 -> float -1..1."""
    return pixels.float() / 127.5 - 1


@torch.no_grad()
def name_digits(model: nn.Module, pixels: Tensor) -> Tensor:
    """The digit of each image."""
    return torch.cat([model(to_range(part)).argmax(1) for part in pixels.split(500)])


def name_inks(pixels: Tensor) -> Tensor:
    """The ink nearest to what each image lacks of its paper's colour, by direction."""
    paper = torch.tensor(PAPER).float()
    lacking = (paper[None, :, None, None] - pixels.float()).sum((2, 3))
    inks = paper - torch.tensor(list(INKS.values())).float()
    return (nn.functional.normalize(lacking) @ nn.functional.normalize(inks).T).argmax(1)


def wanted_cells(images: int) -> tuple[list[Cell], Tensor, Tensor]:
    """Cells in turn, so that digits and inks are balanced; their digits and inks."""
    pairs = list(product(range(len(DIGITS)), range(len(INKS))))
    pairs = [pairs[number % len(pairs)] for number in range(images)]
    cells = [Cell(DIGITS[digit], (("ink", tuple(INKS)[ink]),)) for digit, ink in pairs]
    digits, inks = torch.tensor(pairs).T
    return cells, digits, inks


def write_prompts(cells: list[Cell], by: tuple[str, ...]) -> list[str]:
    """The tool's default prompts; `by` names the group columns that they tell."""
    writer = PromptWriter(PromptBook(), by, DIGITS)
    return [
        writer.write(Cell(cell.label, cell.groups if by else ()), turn)
        for turn, cell in enumerate(cells)
    ]


def sample(
    pipeline: DiffusionPipeline, prompts: list[str], how: Sampling, seed: int
) -> tuple[Tensor, float]:
    """Images as uint8, shape (images, 3, 32, 32), and the seconds that they took."""
    begun = time.perf_counter()
    made: list[NDArray[np.uint8]] = []
    for start in range(0, len(prompts), how.batch):
        part = prompts[start : start + how.batch]
        images = pipeline(
            part,
            num_inference_steps=how.steps,
            guidance_scale=how.guidance,
            generator=[
                torch.Generator().manual_seed(seed + start + place) for place in range(len(part))
            ],
            output_type="np",
        ).images
        made.append((images * 255).round().astype(np.uint8))
    return torch.from_numpy(np.concatenate(made)).permute(0, 3, 1, 2), time.perf_counter() - begun


def set_scheduler(pipeline: DiffusionPipeline, name: str) -> None:
    """Gives the pipeline another solver of the same noise."""
    if name:
        kind, _, spacing = name.partition("+")
        options = {"use_karras_sigmas": True} if spacing == "karras" else {}
        if spacing in ("trailing", "leading"):
            options = {"timestep_spacing": spacing}
        pipeline.scheduler = getattr(diffusers, kind).from_config(
            pipeline.scheduler.config, **options
        )


def thin_out(digits: Tensor, inks: Tensor, images: int) -> Tensor:
    """Positions of the first few images of each digit and ink."""
    cell = digits * len(INKS) + inks
    return torch.cat([(cell == number).nonzero()[:images, 0] for number in cell.unique()])


def measure_spread(images: Tensor, digits: Tensor, inks: Tensor) -> float:
    """Median distance of an image to the nearest other one of its digit and ink."""
    cell = digits * len(INKS) + inks
    alike = [images[cell == number] for number in cell.unique()]
    return float(torch.cat([nearest(part, part, True) for part in alike if len(part) > 1]).median())


def nearest(images: Tensor, others: Tensor, same: bool = False) -> Tensor:
    """Distance to the nearest other image: root of the mean squared difference, 0..255."""
    a, b = images.flatten(1).float(), others.flatten(1).float()
    distance = torch.cdist(a, b) / a.shape[1] ** 0.5
    if same:
        distance.fill_diagonal_(float("inf"))
    return distance.min(1).values


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", type=Path, default=SHIPPED, help="the pipeline folder")
    parser.add_argument("--scheduler", nargs="+", default=[""], help="classes of diffusers")
    parser.add_argument("--steps", type=int, nargs="+", default=[10])
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.5])
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=12, help="of the classifier")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sheet", type=Path, help="save the first 80 samples as a PNG")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    diffusers.utils.logging.set_verbosity_error()

    source = DemoSource()
    pool, pool_digits, _ = read_real(source.pool(), "pool")
    test, test_digits, test_inks = read_real(source, "test")
    classifier = train_classifier(pool, pool_digits, given.epochs, seed=0)
    real = float((name_digits(classifier, test) == test_digits).float().mean())
    real_ink = float((name_inks(test) == test_inks).float().mean())
    print(f"{len(pool)} pool images, {len(test)} test images, {given.threads} threads")

    head = f"{'':38} steps guidance   digit   gap    ink   near spread seconds"
    print(head + "\n" + "-" * len(head))
    some = thin_out(test_digits, test_inks, max(2, given.images // 40))
    near = float(nearest(test, pool).median())
    spread = measure_spread(test[some], test_digits[some], test_inks[some])
    print(f"{'real test images':53}  {real:6.1%}       {real_ink:6.1%} {near:6.1f} {spread:6.1f}")

    cells, digits, inks = wanted_cells(given.images)
    pipeline = AutoPipelineForText2Image.from_pretrained(given.model)
    pipeline.set_progress_bar_config(disable=True)
    own = pipeline.scheduler
    for plan in (
        Sampling(*chosen, given.batch)
        for chosen in product(given.scheduler, given.steps, given.guidance)
    ):
        pipeline.scheduler = own
        set_scheduler(pipeline, plan.scheduler)
        for by in (("ink",), ()):
            images, seconds = sample(pipeline, write_prompts(cells, by), plan, given.seed)
            named = float((name_digits(classifier, images) == digits).float().mean())
            made = name_inks(images)
            ink = f"{float((made == inks).float().mean()):6.1%}" if by else "     -"
            near = float(nearest(images, pool).median())
            spread = measure_spread(images, digits, inks if by else made)
            what = f"{plan.scheduler or 'as shipped'}, by {'class and ink' if by else 'class'}"
            print(
                f"{what:38} {plan.steps:5} {plan.guidance:8}  {named:6.1%} "
                f"{100 * (named - real):+5.1f} {ink} {near:6.1f} {spread:6.1f} {seconds:7.1f}",
                flush=True,
            )
            if given.sheet and by:
                sheet = images[:80].reshape(8, 10, 3, 32, 32).permute(0, 3, 1, 4, 2)
                picture = Image.fromarray(sheet.reshape(256, 320, 3).numpy())
                picture.resize((960, 768), Image.Resampling.NEAREST).save(given.sheet)


if __name__ == "__main__":
    main()
