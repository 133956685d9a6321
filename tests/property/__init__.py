"""What holds for every input, on generated ones."""
