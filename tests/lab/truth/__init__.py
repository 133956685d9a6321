"""A small world with mail domains of every kind, to which a real Postfix can deliver or not."""
