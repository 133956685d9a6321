"""HTTP: JSON in, JSON out, and the manners around it."""
