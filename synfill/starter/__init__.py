"""`synfill init`: a recipe and a prompts file to begin with."""
