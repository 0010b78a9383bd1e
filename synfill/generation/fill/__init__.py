"""A store is filled with images: the engine, its shards, the files of images."""
