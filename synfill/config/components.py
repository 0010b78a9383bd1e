"""Everything that a user chooses by name: one registry a kind, one line a component.

A line is the component's name and where it is; its file holds its options and its code. Help
texts, `synfill recipes`, the docs' tables and the suggestions in error messages list these.
"""

from __future__ import annotations

from synfill.config.registry import Registry

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
