"""What there is to draw of a run beside its curves."""
