"""`python -m jaxmeta`: the command `jaxmeta`."""

from jaxmeta.cli import main

if __name__ == "__main__":
    main()
