"""How it is learned: one file per family of learners."""
