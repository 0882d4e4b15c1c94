"""What is learned: data and tasks, one file per domain."""
