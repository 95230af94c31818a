"""Foundation models from the ground up: the tested building blocks that the lessons import."""
