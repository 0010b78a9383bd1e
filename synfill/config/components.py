"""Everything that a user chooses by name: one registry a kind, one line a component.

A line is the component's name and where it is; its file holds its options and its code. Help
texts, `synfill recipes`, the docs' tables and the suggestions in error messages list these.
"""

from __future__ import annotations

from synfill.config.registry import Registry

LOSSES = Registry(
    "loss", "losses", {"cross-entropy": "synfill.training.losses.cross_entropy:CrossEntropy"}
)
SAMPLERS = Registry(
    "sampling",
    "samplings",
    {
        "as-is": "synfill.training.sampling.as_is:AsIs",
        "class-balanced": "synfill.training.sampling.class_balanced:ClassBalanced",
        "undersample": "synfill.training.sampling.undersample:Undersample",
        "group-balanced": "synfill.training.sampling.group_balanced:GroupBalanced",
    },
)
AUGMENTATIONS = Registry(
    "augmentation",
    "augmentations",
    {
        "none": "synfill.training.augment.none:NoAugmentation",
        "crop-flip": "synfill.training.augment.crop_flip:CropFlip",
        "crop": "synfill.training.augment.crop:Crop",
        "randaugment": "synfill.training.augment.randaugment:RandAugment",
        "trivialaugment": "synfill.training.augment.trivialaugment:TrivialAugment",
    },
)
MIXES = Registry(
    "mix",
    "mixes",
    {
        "none": "synfill.training.augment.mixes.none:NoMix",
        "mixup": "synfill.training.augment.mixes.mixup:Mixup",
        "cutmix": "synfill.training.augment.mixes.cutmix:CutMix",
        "mixup-or-cutmix": "synfill.training.augment.mixes.mixup_or_cutmix:MixupOrCutMix",
        "domain-mixup": "synfill.training.augment.mixes.domain_mixup:DomainMixup",
    },
)
METHODS = Registry(
    "method",
    "methods",
    {
        "ce": "synfill.training.methods.ce:CrossEntropyOnly",
        "mixup": "synfill.training.methods.mixup:MixupOnly",
        "oversample": "synfill.training.methods.oversample:Oversample",
        "undersample": "synfill.training.methods.undersample:Undersample",
        "synaug": "synfill.training.methods.synaug:SynAug",
        "synaug-mixup": "synfill.training.methods.synaug_mixup:SynAugMixup",
        "synaug-mixup-retrain": "synfill.training.methods.retrain:Retrain",
        "synaug-mixup-retrain-real": "synfill.training.methods.retrain_real:RetrainReal",
    },
)
STAGES = Registry(
    "kind of stage", "kinds of stages", {"sgd": "synfill.training.stage.sgd:Sgd"}, key="kind"
)
_METRICS = "synfill.evaluation.metrics"
METRICS = Registry(
    "metric",
    "metrics",
    {
        "accuracy": f"{_METRICS}.accuracy:Accuracy",
        "balanced_accuracy": f"{_METRICS}.accuracy:BalancedAccuracy",
        "many": f"{_METRICS}.long_tail:Many",
        "medium": f"{_METRICS}.long_tail:Medium",
        "few": f"{_METRICS}.long_tail:Few",
        "head": f"{_METRICS}.long_tail:Head",
        "middle": f"{_METRICS}.long_tail:Middle",
        "tail": f"{_METRICS}.long_tail:Tail",
        "macro_f1": f"{_METRICS}.accuracy:MacroF1",
        "expected_calibration_error": f"{_METRICS}.calibration:ExpectedCalibrationError",
        "worst_class": f"{_METRICS}.accuracy:WorstClass",
        "worst_cell": f"{_METRICS}.groups:WorstCell",
        "group_weighted_accuracy": f"{_METRICS}.groups:GroupWeightedAccuracy",
    },
)
NETWORKS = Registry(
    "kind of networks",
    "kinds of networks",
    {
        "cifar-resnet": "synfill.training.network.cifar:CifarResNets",
        "torchvision": "synfill.training.network.torchvision_models:TorchvisionModels",
        "timm": "synfill.training.network.timm_models:TimmModels",
    },
)
CHECKS = Registry(
    "check",
    "checks",
    {
        "size": "synfill.quality.size:Size",
        "finite": "synfill.quality.finite:Finite",
        "flagged": "synfill.quality.flagged:Flagged",
        "blank": "synfill.quality.blank:Blank",
    },
)

ENGINES = Registry("engine", "engines", {"local": "synfill.generation.fill.local:LocalEngine"})

FAMILIES = Registry(
    "model family",
    "model families",
    {
        "sd": "synfill.generation.models.families.stable_diffusion:StableDiffusion",
        "sdxl": "synfill.generation.models.families.sdxl:StableDiffusionXL",
        "sd3": "synfill.generation.models.families.sd3:StableDiffusion3",
        "flux": "synfill.generation.models.families.flux:Flux",
        "pixart": "synfill.generation.models.families.pixart:PixArt",
        "sana": "synfill.generation.models.families.sana:Sana",
        "other": "synfill.generation.models.families.other:Other",
    },
)
# The last is asked first whether a SOURCE is of its kind: the special ones before the general.
SOURCES = Registry(
    "kind of source",
    "kinds of source",
    {
        "hub": "synfill.data.sources.hub:HubDataset",
        "imagefolder": "synfill.data.sources.imagefolder.folder:ImageFolder",
        "parquet": "synfill.data.sources.parquet:ParquetFiles",
        "saved": "synfill.data.sources.saved:SavedDataset",
        "demo": "synfill.data.sources.demo:Demo",
    },
)
