"""One run: a recipe in, a folder with a trained network, its numbers and its features out."""
