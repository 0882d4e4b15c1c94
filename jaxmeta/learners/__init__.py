"""Meta-learners by family; a new one is one file in its family's folder."""
