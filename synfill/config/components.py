"""Everything that a user chooses by name: one registry a kind, one line a component.

A line is the component's name and where it is; its file holds its options and its code. Help
texts, `synfill recipes`, the docs' tables and the suggestions in error messages list these.
"""

from __future__ import annotations

from synfill.config.registry import Registry

CHECKS = Registry("check", "checks", {})
ENGINES = Registry("engine", "engines", {"local": "synfill.generation.fill.local:LocalEngine"})
