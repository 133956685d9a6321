"""Many addresses or domains at once: read, checked side by side, written in the order they came in."""
