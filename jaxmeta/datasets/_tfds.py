"""tensorflow-datasets, which is installed by those who want it."""

from types import ModuleType


def tensorflow_datasets() -> ModuleType:
    """The library.

    Raises:
      ValueError: it is not installed; says how.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ValueError("tensorflow-datasets needs `pip install 'jaxmeta[tfds]'`.") from error
    return tfds
