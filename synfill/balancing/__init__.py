"""From counts to a balanced dataset: histogram, target, prompts, plan, assembly, card."""
