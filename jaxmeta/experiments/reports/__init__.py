"""What the meta-test of a domain measures."""
