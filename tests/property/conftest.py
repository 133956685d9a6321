"""Generated inputs are the same on every run: what fails once fails again."""

from hypothesis import settings

settings.register_profile("deterministic", derandomize=True, database=None, deadline=None, max_examples=200)
settings.load_profile("deterministic")
