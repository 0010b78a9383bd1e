"""A diffusers pipeline at work: the one place that knows diffusers."""
