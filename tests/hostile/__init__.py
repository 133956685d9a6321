"""What the world does to the service, and what comes of it: faults around it, and strangers of bad will."""
