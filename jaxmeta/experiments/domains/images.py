"""Images: where they come from, and their few-shot classification."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import optax

from jaxmeta import datasets, losses, tasks
from jaxmeta.experiments.metric import ACCURACY
from jaxmeta.experiments.parts import Samples, Work
from jaxmeta.experiments.reports.episodes import image_results
from jaxmeta.training import few_shot

# By name, as the command takes it; called with the source.
DATASETS: dict[str, Callable[["ImageSource"], datasets.Splits]] = {
    "glyphs": lambda _: datasets.glyphs(),
    "omniglot": lambda source: datasets.omniglot(source.data_dir, split=source.split),
    "cifar_fs": lambda source: datasets.cifar_fs(source.data_dir),
    "fc100": lambda source: datasets.fc100(source.data_dir),
    "mini_imagenet": lambda source: datasets.mini_imagenet(source.data_dir),
    "tiered_imagenet": lambda source: datasets.tiered_imagenet(source.data_dir),
    "cub": lambda source: datasets.cub(source.data_dir),
    "aircraft": lambda source: datasets.aircraft(source.data_dir),
    "vgg_flower": lambda source: datasets.vgg_flower(source.data_dir),
    "quickdraw": lambda source: datasets.quickdraw(source.data_dir),
    "fungi": lambda source: datasets.fungi(source.data_dir),
    "folder": lambda source: datasets.image_folder(source.data_dir or "."),
}


# Changes of a training picture, by name; the numbers are those usual for pictures of 32 pixels.
AUGMENTATIONS: dict[str, Callable] = {
    "crop": partial(tasks.random_crop, padding=4),
    "flip": tasks.random_flip,
    "colour": tasks.colour_jitter,
    "erase": tasks.random_erasing,
    "affine": tasks.random_affine,
}


@dataclasses.dataclass(frozen=True)
class ImageSource:
    """A data set, its split and its classes."""

    dataset: Literal[
        "glyphs",
        "omniglot",
        "cifar_fs",
        "fc100",
        "mini_imagenet",
        "tiered_imagenet",
        "cub",
        "aircraft",
        "vgg_flower",
        "quickdraw",
        "fungi",
        "folder",
    ] = "glyphs"
    """where the images come from; "folder" is any folder with a folder of pictures per class"""
    data_dir: str | None = None
    """folder with the data set's files; None: see `jaxmeta.datasets`"""
    split: Literal["vinyals", "random"] = "vinyals"
    """Omniglot's 1028/172/423 characters, or 1100/100/423 at random"""
    rotations: bool = True
    """images turned by right angles are further classes, in training and at test"""

    def splits(self) -> datasets.Splits:
        """Loads the data set.

        Raises:
          ValueError: there is no such data set, or it does not take `data_dir` or `split`.
          FileNotFoundError: its files are not there.
        """
        if self.dataset not in DATASETS:
            raise ValueError(f"dataset must be one of {', '.join(DATASETS)}, got {self.dataset!r}.")
        if self.dataset == "glyphs" and self.data_dir is not None:
            raise ValueError(
                f"data_dir must be None for glyphs, which come with jaxmeta, got {self.data_dir!r}."
            )
        if self.dataset == "folder" and self.data_dir is None:
            raise ValueError("data_dir must be the folder of pictures, got None.")
        if self.dataset != "omniglot" and self.split != "vinyals":
            raise ValueError(
                f"split is of Omniglot; {self.dataset} has one split of its classes, "
                f"got {self.split!r}."
            )
        return DATASETS[self.dataset](self)


@dataclasses.dataclass(frozen=True)
class Images(ImageSource):
    """Few-shot classification of images."""

    acts = False
    has_images = True
    has_shots = True
    has_paths = False
    metric = ACCURACY
    loss_fn = staticmethod(optax.softmax_cross_entropy)
    score = staticmethod(losses.accuracy)
    scored_by = staticmethod(few_shot)

    n_way: int = 5
    """classes per episode at test"""
    k_shot: int = 1
    """support images per class at test"""
    q_queries: int = 15
    """query images per class at test"""
    train_n_way: int = 5
    """classes per episode in training"""
    train_k_shot: int = 1
    """support images per class in training"""
    train_q_queries: int = 15
    """query images per class in training"""
    whole_batch: int | None = None
    """images of a training step, drawn from all classes for a classifier of them; None: episodes"""
    unlabelled: int = 0
    """further support images per class that come without their label"""
    augment: tuple[Literal["crop", "flip", "colour", "erase", "affine"], ...] = ()
    """random changes of every training picture, in this order; pictures at test stay as they are"""

    @property
    def n_outputs(self) -> int:
        """Classes."""
        return self.n_way

    @property
    def setting(self) -> str:
        """In words."""
        unlabelled = f", {self.unlabelled} unlabelled" if self.unlabelled else ""
        return f"{self.n_way}-way {self.k_shot}-shot{unlabelled}"

    def samples(self) -> Samples:
        """Loads the data."""
        splits = self.splits()
        shared: dict[str, Any] = {"unlabelled": self.unlabelled, "rotations": self.rotations}
        meta_train = self._training(splits.meta_train, shared)
        meta_val, meta_test = (
            tasks.episodes(
                split, n_way=self.n_way, k_shot=self.k_shot, q_queries=self.q_queries, **shared
            )
            for split in (splits.meta_val, splits.meta_test)
        )
        return Samples(meta_train, meta_val, {self.setting: meta_test})

    def _training(self, class_data, shared):
        if self.whole_batch is not None:
            return tasks.whole_batches(
                class_data, batch_size=self.whole_batch, augment=self._augment()
            )
        return tasks.episodes(
            class_data,
            n_way=self.train_n_way,
            k_shot=self.train_k_shot,
            q_queries=self.train_q_queries,
            augment=self._augment(),
            **shared,
        )

    def _augment(self):
        if unknown := [name for name in self.augment if name not in AUGMENTATIONS]:
            raise ValueError(
                f"augment must be some of {', '.join(AUGMENTATIONS)}, got {unknown[0]!r}."
            )
        changes = [AUGMENTATIONS[name]() for name in self.augment]
        return tasks.augment(*changes) if changes else None

    def results(self, work: Work) -> dict:
        """Both protocols, fresh parameters, the raw-pixel floor, and the adaptation."""
        return image_results(work)

    def trace(self, work: Work) -> None:
        """None: the images of an episode come together."""
