"""The card of a balanced dataset, from the content of its run.json."""

import copy

import pytest
from hub_store import card_problems
from huggingface_hub import DatasetCard

from synfill.report.dataset_card import write_dataset_card

RECORD = {
    "synfill": "1.2.3",
    "command": "synfill balance pets --target uniform",
    "identity": {
        "groups": ["place"], "by": "class", "long-tail": None, "limit": None,
        "prompts": ["a photo of {article} {label}"], "class words": {"n1": "sea <otter>"},
        "group words": {}, "modifiers": [], "negative-prompt": "", "steps": 4,
        "guidance-scale": 1.5, "size": [512, 256], "scheduler": "", "dtype": "float32",
        "lora": "", "seed": 3, "format": "parquet",
    },
    "source": {"name": "pets", "id": "", "revision": "", "licence": "mit"},
    "model": {"id": "m/odel", "revision": "abc", "pipeline": "Pipe", "licence": "",
              "is_local": False},
    "split": "train",
    "columns": {"synthetic": "made", "prompt": "prompt", "seed": "seed", "generator": "by"},
    "counts": [
        {"class": "n1", "groups": {}, "before": 9, "kept": 8, "earlier": 1, "wanted": 10,
         "synthetic": 1},
        {"class": "cat", "groups": {}, "before": 10, "kept": 10, "earlier": 0, "wanted": 10,
         "synthetic": 0},
    ],
    "unfilled": 0,
    "splits": {"train": {"rows": 1200, "bytes": 5, "files": 1},
               "test": {"rows": 30, "bytes": 2, "files": 1}},
}  # fmt: skip


def card(identity=None, **values):
    record = copy.deepcopy(RECORD) | values
    record["identity"] |= identity or {}
    return write_dataset_card(record, ["a photo of a cat"], ["x.yaml"], False, True)


def test_the_header_is_one_that_the_hub_takes():
    data = DatasetCard(card()).data
    assert card_problems(card()) == [] and data.license == "mit"
    assert data.size_categories == ["1K<n<10K"] and data.dataset_info["dataset_size"] == 7
    assert data.configs[0]["data_files"][1] == {"split": "test", "path": "data/test-*"}
    images = DatasetCard(card({"format": "imagefolder"})).data
    assert images.configs[0]["data_files"][0]["path"] == "train/**"
    other = DatasetCard(card(source=RECORD["source"] | {"licence": "mine"})).data
    assert (other.license, other.license_name) == ("other", "mine")


def test_the_card_says_what_was_done():
    text = card()
    for words in (
        "# pets, balanced\n",
        "**2 of these images are synthetic.** 1 of them is from earlier runs. This is `pets` with "
        "the split `train` filled up by class with images",
        "Images: train 1,200, test 30.\n",
        "|---|---:|---:|---:|---:|\n| sea &lt;otter&gt; (n1) | 9 | 8 | 2 | 10 |\n| cat | 10 |",
        "- Model: [m/odel](https://huggingface.co/m/odel), revision `abc`, Pipe\n",
        "- Prompt: `a photo of {article} {label}`\n- Negative prompt: none\n- Steps: 4\n",
        "- Scheduler: the model's own\n- Size: 512x256, then",
        '- Seed: 3\n- For example "a photo of a cat"\n- Every request',
        "- `place`: null for synthetic images, which were balanced by class",
        "filter on `made` first",
        "`x.yaml` is a file or folder of whoever ran it: put yours in place.\n",
    ):
        assert words in text, words
    assert "\n\n\n" not in text and text.endswith(".\n")


@pytest.mark.parametrize(
    ("identity", "values", "words"),
    [
        ({"limit": 3, "by": "class+place"}, {}, "partly filled up by cell of class and `place`"),
        ({"long-tail": 100.0}, {}, "This is a long-tailed subset (imbalance factor 100) of `pets`"),
        ({"guidance-interval": [0.2, 0.8]}, {}, "- Guidance scale: 1.5, from 0.2 to 0.8 of the"),
        ({"modifiers": ["dark", "old"], "lora": "x"}, {}, "- Lora: `x`\n- Modifiers: dark, old\n"),
        ({}, {"unfilled": 2}, "\n2 images that were wanted are missing: no try passed"),
    ],
)
def test_what_a_run_may_say_besides(identity, values, words):
    counts = [RECORD["counts"][0] | {"kept": 5}, RECORD["counts"][1]]
    assert words in card(identity, counts=counts, **values)


def test_many_classes_are_folded():
    counts = [RECORD["counts"][1] | {"class": f"class {number}"} for number in range(100)]
    text = card(counts=counts)
    assert "| ... 40 more | | | | |\n" in text and text.count("| class ") == 60
