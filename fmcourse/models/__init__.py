"""Models as plain `torch.nn`: a shape, a forward pass, no training code."""
