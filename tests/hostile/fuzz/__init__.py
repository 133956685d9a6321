"""What is fed to every parser, and what has to hold then: `bench.fuzz` does it for long, `test_fuzz` for a moment."""
