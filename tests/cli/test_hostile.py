"""Datasets of strangers, through the command line: one message, no hang, nothing outside OUT."""

import json
import os
import resource

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets_fixtures import (
    IMAGE_TYPE,
    image_bytes,
    make_imagefolder,
    make_metadata_folder,
    make_parquet,
    make_saved,
    make_table,
)
from fuzzing.checking import snapshot, time_limit
from fuzzing.odd import BROKEN_IMAGES, DEEP_JSON, HOSTILE_HEADERS

FAST = ("--steps", 1, "--batch-size", 4)
COUNTS = {"a": 3, "b": 2}
ESCAPES = ["../../escaped", "ABOVE/escaped", "..", "a/b", "a b", "", "x\0y", "\u00fc" * 150]
LABELS = ["../../escaped", "/escaped", "..", ".", "a/b", "con", ".hidden", "a\nb", "-rf", "~",
          "[b]"]  # fmt: skip


def card(root, **header):
    root.mkdir(parents=True, exist_ok=True)
    (root / "README.md").write_text(f"---\n{json.dumps(header)}\n---\n")
    return root


def by_split_in_card(root, name):
    make_parquet(root / "data" / "x.parquet", COUNTS)
    files = {name: "data/*.parquet"}
    return card(root, configs=[{"config_name": "default", "data_files": files}])


def by_split_of_a_saved_dataset(root, name):
    make_saved(root, {"train": COUNTS})
    (root / "dataset_dict.json").write_text(json.dumps({"splits": ["train", name]}))
    return root


def by_file_of_a_saved_dataset(root, name):
    make_saved(root, COUNTS)
    state = json.loads((root / "state.json").read_text())
    state["_data_files"] = [{"filename": name}]
    (root / "state.json").write_text(json.dumps(state))
    return root


def by_pattern_in_card(root, name):
    make_parquet(root / "data" / "x.parquet", COUNTS)
    return card(root, configs=[{"config_name": "default", "data_files": f"{name}*"}])


def by_folder_in_card(root, name):
    make_parquet(root / "data" / "x.parquet", COUNTS)
    return card(root, configs=[{"config_name": "default", "data_dir": name}])


def by_file_in_metadata(root, name):
    make_metadata_folder(root, [{"file_name": "1.png", "label": "a"}])
    (root / "metadata.csv").write_text(f"file_name,label\n1.png,a\n{name},b\n")
    return root


def balanced(cli, tmp_path, make, name, *options):
    """Balance such a dataset, and see that nothing else is touched. What the command gave."""
    place = tmp_path / "above" / "place"
    place.mkdir(parents=True)
    source = make(place / "source", name.replace("ABOVE", str(place.parent)))
    before = snapshot(tmp_path)
    out = place / "out"
    with time_limit(60):
        ran = cli("balance", source, "--out", out, *FAST, *options)
    after = snapshot(tmp_path)
    inside = str(out.relative_to(tmp_path))
    assert before == {n: v for n, v in after.items() if not f"{n}/".startswith(f"{inside}/")}
    assert "mistake in synfill" not in ran.err
    return ran


@pytest.mark.parametrize("format", ["parquet", "imagefolder"])
@pytest.mark.parametrize("name", ESCAPES, ids=range(len(ESCAPES)))
@pytest.mark.parametrize(
    ("make", "field"),
    [
        (by_split_in_card, "README.md, configs, default, data_files"),
        (by_split_of_a_saved_dataset, "dataset_dict.json"),
    ],
)
def test_a_split_that_is_a_path_is_refused_where_it_stands(
    cli, sd_model, tmp_path, make, field, name, format
):
    ran = balanced(cli, tmp_path, make, name, "--model", sd_model, "--format", format)
    assert ran.code == 1 and field in ran.err.replace("\n", " ")


@pytest.mark.parametrize("name", ESCAPES[:3])
@pytest.mark.parametrize(
    "make",
    [by_pattern_in_card, by_folder_in_card, by_file_of_a_saved_dataset, by_file_in_metadata],
)
def test_a_file_that_lies_elsewhere_is_not_read(cli, sd_model, tmp_path, make, name):
    assert balanced(cli, tmp_path, make, name, "--model", sd_model).code in (1, 2)


def string_labels(root, _):
    names = ["plain", "plain", *LABELS]
    images = [{"bytes": image_bytes(n), "path": f"../{n}.png"} for n in range(len(names))]
    root.mkdir()
    table = pa.table({"image": pa.array(images, IMAGE_TYPE), "label": names, "../x": names})
    pq.write_table(table, root / "train.parquet")
    return root


def class_labels(root, _):
    make_parquet(root / "train.parquet", {"plain": 2} | dict.fromkeys(LABELS, 1))
    return root


def metadata_labels(root, _):
    labels = ["plain", "plain", *LABELS]
    rows = [{"file_name": f"{n}.png", "label": label} for n, label in enumerate(labels)]
    return make_metadata_folder(root, rows)


def folder_labels(root, _):
    return make_imagefolder(root, {"plain": 2, "...": 1, "con": 1, "-rf": 1, "~": 1, "a\nb": 1})


@pytest.mark.parametrize("format", ["parquet", "imagefolder"])
@pytest.mark.parametrize("make", [string_labels, class_labels, metadata_labels, folder_labels])
def test_classes_may_be_called_anything(cli, sd_model, tmp_path, make, format):
    options = ("--model", sd_model, "--format", format, "--label", "label")
    ran = balanced(cli, tmp_path, make, "", *options)
    assert ran.code == 0, ran.err
    assert (tmp_path / "above/place/out/synfill/run.json").exists()


@pytest.mark.parametrize("name", ["synfill", "README.md"])
def test_a_split_whose_folder_is_taken(cli, sd_model, tmp_path, name):
    options = ("--model", sd_model, "--split", name)
    ran = balanced(cli, tmp_path, by_split_in_card, name, *options, "--format", "imagefolder")
    assert ran.code == 2 and "Use --format parquet" in ran.err


def test_a_recipe_of_such_data(cli, tmp_path):
    source = by_split_in_card(tmp_path / "source", "../../x")
    (tmp_path / "r.yaml").write_text(
        f"name: x\ndata: {{train: {source}, label: label}}\nmodel: resnet20\n"
        "stages: [{epochs: 1}]\n"
    )
    ran = cli("train", "r.yaml")
    assert ran.code == 1 and "README.md, configs, default" in ran.err.replace("\n", " ")


@pytest.mark.parametrize("format", ["parquet", "imagefolder"])
def test_a_split_on_the_hub(alice, hub, tmp_path, sd_model, format):
    folder = by_split_in_card(tmp_path / "x", "../../../../escaped")
    hub.store.put_folder("bob/pets", folder)
    alice.folder.mkdir()
    before = snapshot(tmp_path)
    options = ("--out", "a/out", "--model", sd_model, *FAST, "--format", format)
    ran = alice("balance", "bob/pets", *options)
    assert ran.code == 1 and "bob/pets/README.md, configs, default, data_files" in ran.err
    new = snapshot(tmp_path).keys() - before.keys()
    assert not [name for name in new if not f"{name}/".startswith(("alice/home/", "hub/"))], new


def test_a_pattern_on_the_hub_is_not_followed_to_files_here(alice, hub, tmp_path):
    make_imagefolder(tmp_path / "mine", {"secret": 2})
    folder = make_imagefolder(tmp_path / "x", {"a": 1})
    card(folder, configs=[{"config_name": "c", "data_files": f"{tmp_path}/mine/**"}])
    hub.store.put_folder("bob/pets", folder)
    ran = alice("analyze", "bob/pets")
    assert ran.code == 1 and "secret" not in ran.out
    assert "no path of a file below the dataset's folder" in ran.err.replace("\n", " ")


# What is odd, what `analyze` ends with, what `balance --dry-run` ends with, and a word of why.


def photos(root):
    return make_imagefolder(root, COUNTS)


def pipe_as(name):
    def make(root):
        photos(root)
        (root / name).unlink(missing_ok=True)
        os.mkfifo(root / name)
        return root

    return make


def zero_as(name):
    def make(root):
        photos(root)
        (root / name).unlink(missing_ok=True)
        (root / name).symlink_to("/dev/zero")
        return root

    return make


def with_file(name, content):
    def make(root):
        photos(root)
        (root / name).write_bytes(content)
        return root

    return make


def with_columns(noted=None, **columns):
    def make(root):
        table = make_table(COUNTS)
        for name, values in columns.items():
            if name in table.column_names:
                table = table.drop_columns([name])
            table = table.append_column(name, values)
        if noted is not None:
            table = table.replace_schema_metadata({"huggingface": noted})
        root.mkdir()
        pq.write_table(table, root / "train.parquet")
        return root

    return make


def noted(label):
    return json.dumps({"info": {"features": {"image": {"_type": "Image"}, "label": label}}})


def saved(name, content):
    def make(root):
        make_saved(root, {"train": COUNTS} if name == "dataset_dict.json" else COUNTS)
        (root / name).write_text(content)
        return root

    return make


def odd_names(kind):
    def make(root):
        photos(root)
        if kind == "file":
            (root / "a" / "\udcff.png").write_bytes(image_bytes(9))
        else:
            (root / "a").rename(root / "\udcff")
        return root

    return make


def pipe_in_a_table(root):
    images = [{"bytes": None, "path": name} for name in ("1.png", "1.png", "pipe")]
    root.mkdir()
    table = pa.table({"image": pa.array(images), "label": ["a", "a", "b"]})
    pq.write_table(table, root / "train.parquet")
    (root / "1.png").write_bytes(image_bytes(1))
    os.mkfifo(root / "pipe")
    return root


def bomb(root):
    return with_file("README.md", f"---\n{HOSTILE_HEADERS[1]}\n---\n".encode())(root)


TABLE = [
    (pipe_as("README.md"), 0, 0, "it is a pipe"),
    (zero_as("README.md"), 0, 0, "it is a device"),
    (pipe_as("metadata.csv"), 1, 1, "it is a pipe"),
    (zero_as("metadata.jsonl"), 1, 1, "it is a device"),
    (pipe_as("a/0.png"), 0, 1, "a/0.png"),
    (zero_as("a/0.png"), 0, 1, "a/0.png"),
    (pipe_as("train.parquet"), 1, 1, "it is a pipe"),
    (zero_as("train.parquet"), 1, 1, "it is a device"),
    (pipe_in_a_table, 0, 1, "train.parquet row 2 (pipe)"),
    (bomb, 0, 0, "as if there were no such header"),
    (with_file("README.md", b"---\n\xff\n---\n"), 0, 0, "as if there were none"),
    (with_file("README.md", b"---\nconfigs: 3\n---\n"), 0, 0, "should be a list, not 3"),
    (with_file("metadata.jsonl", DEEP_JSON.encode()), 1, 1, "nested more than 100 deep"),
    (with_file("metadata.csv", b"file_name,\xff\na/0.png,1\n"), 1, 1, "metadata.csv can't be read"),
    (with_columns(noted=DEEP_JSON), 0, 0, ""),
    (with_columns(noted=noted({"_type": "ClassLabel"})), 0, 0, ""),
    (with_columns(noted=noted({"_type": "ClassLabel", "names": None})), 0, 0, ""),
    (with_columns(noted=noted({"_type": "ClassLabel", "names": ["a", "a"]})), 1, 1, "same name"),
    (with_columns(noted=noted({"_type": "ClassLabel", "names": [[], "a"]})), 1, 1, "of a class"),
    (with_columns(noted=noted({"_type": ["List"] * 3})), 0, 0, ""),
    (with_columns(label=pa.array([1, 2, 2, 2, float("nan")], pa.float16())), 0, 0, ""),
    (with_columns(label=pa.array([1.0, 2, 2, 2, float("inf")])), 0, 2, "no classes"),
    (with_columns(label=pa.array([1e300, 2, 2, 2, 2])), 0, 2, "no classes"),
    (with_columns(label=pa.array([(1 << 64) - 1] * 3 + [1, 2], pa.uint64())), 1, 1, "names 2 cl"),
    (
        with_columns(label=pa.array([b"a", b"\xff"] * 2 + [b"b"], pa.binary()).view(pa.string())),
        1, 1, "train.parquet",
    ),
    (with_columns(label=pa.array(["x" * 5000, "a", "a", "a", "b"])), 1, 1, "5,000 characters"),
    (with_columns(image=pa.nulls(5)), 2, 2, "No column holds images"),
    (with_columns(image=pa.nulls(5, IMAGE_TYPE)), 0, 1, "5 of 5 images can't be read"),
    (with_columns(photo=make_table(COUNTS).column("image")), 0, 0, ""),
    (
        with_columns(image2=pa.array([image_bytes(n) for n in range(5)]),
                     noted=json.dumps({"info": {"features": {"image2": {"_type": "Image"}}}})),
        0, 0, "",
    ),
    (with_columns(t=pa.array([1 << 50] * 5, pa.timestamp("s"))), 0, 0, ""),
    (odd_names("file"), 0, 0, ""),
    (odd_names("folder"), 1, 1, "can't be the name of a class"),
    (with_file("a/0.png", BROKEN_IMAGES[0]), 0, 1, "a/0.png: cannot be read"),
    (saved("state.json", DEEP_JSON), 1, 1, "nested more than 100 deep"),
    (saved("dataset_info.json", DEEP_JSON), 1, 1, "nested more than 100 deep"),
    (saved("dataset_info.json", "{}"), 0, 0, ""),
    (saved("dataset_info.json", "null"), 1, 1, "no JSON object"),
    (saved("dataset_info.json", '{"features": null}'), 0, 0, ""),
    (saved("dataset_dict.json", '{"splits": null}'), 1, 1, "names no splits"),
    (saved("dataset_dict.json", '{"splits": ["train", "a\\u0000b"]}'), 1, 1, "name of a split"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "analyzed", "planned", "reason"), TABLE, ids=range(len(TABLE)))
def test_odd_datasets(cli, tmp_path, sd_model, make, analyzed, planned, reason):
    source = make(tmp_path / "source")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with time_limit(20):
        first = cli("analyze", source)
    # A dry run looks at no image: what is wrong with those is told when the run itself starts.
    of_images = (analyzed, planned) == (0, 1)
    with time_limit(20):
        second = cli("balance", source, "--model", sd_model, *([] if of_images else ["--dry-run"]))
    assert (first.code, second.code) == (analyzed, planned), first.err + second.err
    for ran in (first, second):
        assert "mistake in synfill" not in ran.err
        assert ran.err.count("Error") <= 1
    assert reason in " ".join((first.err + second.err).split())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000


@pytest.mark.parametrize("image", BROKEN_IMAGES, ids=range(len(BROKEN_IMAGES)))
def test_images_that_pass_the_check_can_be_written(cli, tmp_path, sd_model, image):
    source = make_imagefolder(tmp_path / "source", {"a": 1, "b": 3})
    (source / "a" / "1.png").write_bytes(image)
    ran = cli("balance", source, "--on-bad-image", "skip", "--model", sd_model, *FAST)
    assert ran.code == 0, ran.err


def test_an_earlier_record_that_is_none(cli, tmp_path, sd_model):
    source = make_imagefolder(tmp_path / "source", {"a": 1, "b": 2})
    out = tmp_path / "out0"
    assert cli("balance", source, "--out", out, "--model", sd_model, *FAST).code == 0
    record = out / "synfill" / "run.json"
    for number, content in enumerate([None, DEEP_JSON, "[]", '{"history": 3}'], start=1):
        record.unlink()
        if content is None:
            os.mkfifo(record)
        else:
            record.write_text(content)
        options = ("--out", tmp_path / f"out{number}", "--target", "uniform:3", "--limit", 1)
        with time_limit(60):
            ran = cli("balance", out, "--model", sd_model, *FAST, *options)
        assert ran.code == 0, ran.err


@pytest.mark.parametrize(
    ("target", "told"), [("nowhere", "leads nowhere"), ("out", "can't be an output folder")]
)
def test_an_output_folder_that_is_a_link_to_nowhere(cli, tmp_path, sd_model, target, told):
    photos = make_imagefolder(tmp_path / "photos", {"train": {"cat": 2, "dog": 1}})
    (tmp_path / "out").symlink_to(tmp_path / target)
    ran = cli("balance", photos, "--model", sd_model, "--out", tmp_path / "out")
    assert ran.code == 2
    assert told in " ".join(ran.err.split())
