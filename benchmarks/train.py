"""`synfill train` in images/s, beside a plain loop.

(a) The data path: load, augment, batch; no network.
(b) The whole loop: the same, and a ResNet-32 that is trained on it.

The plain loop is what most scripts do: a dataset that decodes with Pillow, torchvision's
RandomCrop, RandomHorizontalFlip, ToTensor and Normalize, a DataLoader with 2 workers, and one
optimizer step a batch in float32. Both see the same images under the same augmentations. They are
run in turns, so that a machine that is busy slows both; the median is printed.

Run it with: python benchmarks/train.py DATASET [--epochs N] [--steps N] [--device D]
DATASET is a Parquet folder with the splits train and test, such as CIFAR-10's. On a machine that
others use too, set OMP_NUM_THREADS=1: torch's threads wait for one another.
"""

import argparse
import io
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from synfill.config.recipes.settings import DataSettings, ModelSettings
from synfill.data.source import image_column, open_source
from synfill.reporter import LogReporter
from synfill.training.augment.augmenter import Augmenter
from synfill.training.augment.crop_flip import CropFlip
from synfill.training.images.decoding import stored_side
from synfill.training.images.labels import find_labels
from synfill.training.images.training_data import TrainingData, read_training_data
from synfill.training.launch import start_accelerator
from synfill.training.network.model import build_model
from synfill.training.network.spec import ClassifierSpec
from synfill.training.sampling.order import cut_batches
from synfill.training.stage.base import Images, RunContext
from synfill.training.stage.checkpoint import CheckpointFolder
from synfill.training.stage.sgd import Sgd
from synfill.training.stage.stages import train_stages

BATCH = 128
WORKERS = 2
MODEL = ModelSettings(name="resnet32")
EPOCHS_OF_A_RUN = 200
"""What the literature trains on CIFAR: the loading is spread over as many."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("--epochs", type=int, default=3, help="epochs measured of each way")
    parser.add_argument("--steps", type=int, default=40, help="steps of an epoch of the whole loop")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        held = measure_data_path(arguments.dataset, arguments.epochs, arguments.device, folder)
        measure_whole_loop(
            arguments.dataset, held, arguments.epochs, arguments.steps, arguments.device, folder
        )


def measure_data_path(dataset: str, epochs: int, device: str, work: Path) -> TrainingData:
    held, loading = load(dataset, "memory", device, work)
    streamed, writing = load(dataset, "stream", device, work)
    plain = plain_loader(dataset, held)
    ways: dict[str, Callable[[], Iterable[torch.Tensor]]] = {
        "plain loop": lambda: (images.to(device, non_blocking=True) for images, _ in plain),
        "synfill, memory": lambda: our_batches(held),
        "synfill, stream": lambda: our_batches(streamed),
    }
    for batches in ways.values():  # starts workers, warms caches
        seconds_of(batches(), device)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(epochs):
        for name, batches in ways.items():
            seconds[name].append(seconds_of(batches(), device))
    count = len(held.train)
    images = count + len(held.test)
    print(
        f"Data path: {count:,} images of {held.image_size} pixels, batches of {BATCH}, crop and "
        f"flip, on {device}; {torch.get_num_threads()} threads, {WORKERS} workers."
    )
    print(
        f"Once a run: memory reads {images:,} images in {loading:.1f} s; stream in {writing:.1f}."
    )
    print(
        f"{'':16} {'images/s':>10} {'/ plain':>8} {'1 epoch':>10} {'200 epochs, with reading':>26}"
    )
    base = statistics.median(seconds["plain loop"])
    for name, once in (
        ("plain loop", 0.0),
        ("synfill, memory", loading),
        ("synfill, stream", writing),
    ):
        epoch = statistics.median(seconds[name])
        long = count * EPOCHS_OF_A_RUN / (once + EPOCHS_OF_A_RUN * epoch)
        print(
            f"{name:16} {count / epoch:10,.0f} {base / epoch:8.1f} "
            f"{count / (once + epoch):10,.0f} {long:26,.0f}"
        )
    return held


def measure_whole_loop(
    dataset: str, data: TrainingData, epochs: int, steps: int, device: str, folder: Path
) -> None:
    plain = plain_loader(dataset, data)
    checkpoints = (CheckpointFolder(folder / str(number)) for number in range(epochs + 1))
    stage = Sgd(data="real", steps=steps, batch_size=BATCH)
    ways = {
        "plain loop": lambda: train_plainly(plain, data, steps, device),
        "synfill": lambda: train_ours(data, stage, device, next(checkpoints)),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(epochs + 1):
        for name, train in ways.items():
            rate = train()
            if turn:  # the first starts workers and warms caches
                rates[name].append(rate)
    print(f"\nWhole loop: {MODEL.name}, {steps} steps of {BATCH} images, on {device}.")
    print(f"{'':16} {'images/s':>10} {'/ plain':>8}")
    base = statistics.median(rates["plain loop"])
    for name, found in rates.items():
        print(f"{name:16} {statistics.median(found):10,.0f} {statistics.median(found) / base:8.1f}")


def train_plainly(
    batches: DataLoader[tuple[torch.Tensor, int]], data: TrainingData, steps: int, device: str
) -> float:
    """Images/s."""
    model = build_model(MODEL, len(data.classes), data.image_size, 0).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=2e-4)
    loss_of = torch.nn.CrossEntropyLoss()
    # Its convolutions needn't give the same weights every time, as synfill's must.
    torch.backends.cudnn.deterministic = False
    began, seen, total = time.perf_counter(), 0, 0.0
    epochs = itertools.chain.from_iterable(itertools.repeat(batches))
    for images, labels in itertools.islice(epochs, steps):
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = loss_of(model(images), labels)
        loss.backward()
        optimizer.step()
        total += loss.item()
        seen += len(images)
    return seen / (time.perf_counter() - began)


def train_ours(data: TrainingData, stage: Sgd, device: str, checkpoints: CheckpointFolder) -> float:
    """Images/s."""
    history = train_stages(
        build_model(MODEL, len(data.classes), data.image_size, 0),
        [stage],
        Images(data.train, None, spec_of(data)),
        RunContext(
            title="ours",
            keys=["stages.0"],
            seed=0,
            accelerator=start_accelerator(device, "auto", False),
            checkpoints=checkpoints,
        ),
    )
    rate: float = sum(e["images"] for e in history) / sum(e["seconds"] for e in history)
    return rate


def spec_of(data: TrainingData) -> ClassifierSpec:
    return ClassifierSpec(
        model=MODEL,
        classes=data.classes,
        image_size=data.image_size,
        stored_size=stored_side(data.image_size),
        mean=data.mean,
        std=data.std,
    )


def load(dataset: str, storage: str, device: str, work: Path) -> tuple[TrainingData, float]:
    """The images, and how many seconds it took."""
    settings = DataSettings.model_validate(
        {"train": dataset, "storage": storage, "workers": WORKERS}
    )
    began = time.perf_counter()
    data = read_training_data(settings, find_labels(settings, None), device, LogReporter(), work)
    return data, time.perf_counter() - began


def our_batches(data: TrainingData) -> Iterable[torch.Tensor]:
    order = np.random.default_rng(0).permutation(len(data.train))
    augmenter = Augmenter(CropFlip(), spec_of(data))
    generator = torch.Generator().manual_seed(0)
    for images in data.train.pixels.batches(cut_batches(order, BATCH)):
        yield augmenter(images, generator)


class PlainDataset(Dataset[tuple[torch.Tensor, int]]):
    """Image files' bytes, decoded with Pillow one by one."""

    def __init__(self, dataset: str, data: TrainingData) -> None:
        source = open_source(dataset)
        image = image_column(source.columns).name
        self.files = [
            file
            for _, batch in source.iter_rows("train", data.train.rows)
            for file in pc.struct_field(batch.column(image), "bytes").to_pylist()
        ]
        self.labels = data.train.labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(data.image_size, padding=data.image_size // 8),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(data.mean, data.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = Image.open(io.BytesIO(self.files[index])).convert("RGB")
        return self.transform(image), self.labels[index]


def plain_loader(dataset: str, data: TrainingData) -> DataLoader[tuple[torch.Tensor, int]]:
    return DataLoader(
        PlainDataset(dataset, data),
        batch_size=BATCH,
        shuffle=True,
        num_workers=WORKERS,
        persistent_workers=True,
        pin_memory=torch.cuda.is_available(),
    )


def seconds_of(batches: Iterable[torch.Tensor], device: str) -> float:
    """How long it takes to have all batches."""
    began = time.perf_counter()
    for _ in batches:
        pass
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
