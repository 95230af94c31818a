"""What one does with trained models: a model for one's own texts or images."""
