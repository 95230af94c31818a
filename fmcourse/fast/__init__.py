"""What is written for speed alone; each part equals a clear version elsewhere."""
