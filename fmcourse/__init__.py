"""Foundation models from the ground up: the tested building blocks that the lessons import."""

from fmcourse.threads import limit_threads

limit_threads()
