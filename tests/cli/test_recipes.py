from synfill.files import recipes_folder


def test_list_show_and_copy(cli, tmp_path):
    listed = cli("recipes", "list")
    assert listed.code == 0
    lines = listed.out.splitlines()
    assert len(lines) == len(list(recipes_folder().glob("*.yaml")))
    assert any(line.startswith("demo ") and "synfill train" in line for line in lines)
    assert any("cifar10-lt-balance" in line and "synfill balance" in line for line in lines)
    shown = cli("recipes", "show", "imagenet100-lt")
    assert shown.out == (recipes_folder() / "imagenet100-lt.yaml").read_text()
    copied = cli("recipes", "copy", "demo")
    assert copied.code == 0
    assert "synfill train demo.yaml" in copied.out
    assert (tmp_path / "demo.yaml").read_text() == cli("recipes", "show", "demo").out
    again = cli("recipes", "copy", "demo")
    assert again.code == 2
    assert "demo.yaml is there already" in again.err


def test_wrong_names(cli):
    for command in ("show", "copy"):
        ran = cli("recipes", command, "dmeo")
        assert ran.code == 2
        assert "Did you mean 'demo'" in ran.err
    assert "Example" in cli("recipes", "copy", "--help").out


def test_help_on_keys(cli, tmp_path):
    shown = cli("recipes", "help", "stages.mix")
    assert shown.code == 0
    assert shown.out.splitlines()[0] == "stages.mix"
    assert "one of none, mixup, cutmix" in shown.out and "default: none" in shown.out
    everything = cli("recipes", "help").out
    assert "data.long_tail.imbalance_factor" in everything and "hardware.trackers" in everything
    assert "synfill balance --help" in cli("recipes", "help", "data.synthetic.balance.by").out
    wrong = cli("recipes", "help", "stages.mixx")
    assert wrong.code == 2 and "Did you mean 'stages.mix'?" in wrong.err
    (tmp_path / "r.yaml").write_text("name: x\nstages: [{epoch: 3}]\ndata: {}\nmodel: resnet20\n")
    assert "synfill recipes help" in cli("train", "r.yaml").err
