"""The command `jaxmeta`."""
