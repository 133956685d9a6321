"""What is fed to every parser, and what has to hold whatever it is fed: `bench.fuzz` runs it long, `test_fuzz` briefly."""
