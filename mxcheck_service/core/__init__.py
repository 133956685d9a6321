"""The decisions, pure: no asyncio, logging, clock, randomness or network; results depend on arguments alone."""
