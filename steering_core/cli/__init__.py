"""The command line, ``steer``: main and a file a command; options are read here and nowhere else."""
