"""The one place that talks to the Hugging Face Hub."""
