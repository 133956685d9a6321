"""The parts a scenario is drawn from, one module for each side of the world."""
