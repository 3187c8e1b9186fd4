"""The figures of the paper and what goes beyond them, an experiment each."""

EXPERIMENTS = ()
