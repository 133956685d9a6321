"""The manual, and what writes the part of it that the source knows better: `python -m docs.generate`."""
