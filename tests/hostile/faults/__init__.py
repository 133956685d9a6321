"""The faults: each module lists its own in `FAULTS`, and none has to be named anywhere else."""
