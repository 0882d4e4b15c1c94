"""Commands on photos, one file each; `jaxmeta.cli` imports one when it is called."""
