"""`python -m jaxmeta`: the command `jaxmeta`."""

from jaxmeta.command.cli import main

if __name__ == "__main__":
    main()
