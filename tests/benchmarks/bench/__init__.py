"""The parts of the benchmark suite; `run.py` beside this folder is the command."""
