"""The command `jaxmeta`, one file for each of its parts that stands alone."""
