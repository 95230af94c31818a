"""Applications of trained models: a classifier for a dataset of your own."""
