"""Which models there are and what each wants. Reads no weights."""
