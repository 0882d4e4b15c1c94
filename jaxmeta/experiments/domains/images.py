"""Images: where they come from, and their few-shot classification."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Literal

import optax

from jaxmeta import datasets, losses, tasks
from jaxmeta.experiments.domains.domain import Domain
from jaxmeta.experiments.metric import ACCURACY
from jaxmeta.experiments.parts import Samples, Split, Work
from jaxmeta.experiments.reports.episodes import image_results

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
# By what stands before a colon; called with what stands after it, and the source.
KINDS: dict[str, Callable[[str, "ImageSource"], datasets.Splits]] = {
    "folder": lambda path, _: datasets.image_folder(path),
    "npz": lambda path, _: datasets.from_npz(path),
    "tfds": lambda name, source: datasets.from_tfds(name, data_dir=source.data_dir),
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

    dataset: str | datasets.Splits = "glyphs"
    """The data set: glyphs, omniglot, cifar_fs, fc100, mini_imagenet, tiered_imagenet, cub,
    aircraft, vgg_flower, quickdraw or fungi; folder:PATH, with a folder of pictures for each class;
    npz:PATH, a file of arrays; or tfds:NAME, of tensorflow-datasets."""
    data_dir: str | None = None
    """Folder with the data set's files. None: the folder of `jaxmeta.datasets.data_home`."""
    split: Literal["vinyals", "random"] = "vinyals"
    """Split of Omniglot: 1028/172/423 characters (vinyals), or 1100/100/423 at random."""
    rotations: bool = True
    """Images turned by right angles are further classes, in training and at test."""

    def splits(self) -> datasets.Splits:
        """Loads the data set.

        Raises:
          ValueError: there is no such data set, or it does not take `data_dir` or `split`.
          FileNotFoundError: its files are not there.
        """
        dataset = self.dataset
        kind, _, rest = dataset.partition(":") if isinstance(dataset, str) else ("Splits", "", "")
        if isinstance(dataset, str) and not (kind in KINDS if rest else dataset in DATASETS):
            raise ValueError(
                f"dataset must be one of {', '.join(DATASETS)}, {':PATH, '.join(('folder', 'npz'))}"
                f":PATH and tfds:NAME, got {dataset!r}."
            )
        if self.data_dir is not None and (rest or kind == "Splits") and kind != "tfds":
            raise ValueError(
                f"data_dir must be None where dataset says itself where the data are, got "
                f"{self.data_dir!r}."
            )
        if dataset == "glyphs" and self.data_dir is not None:
            raise ValueError(
                f"data_dir must be None for glyphs, which come with jaxmeta, got {self.data_dir!r}."
            )
        if dataset == "folder" and self.data_dir is None:
            raise ValueError("data_dir must be the folder of pictures, got None.")
        if dataset != "omniglot" and self.split != "vinyals":
            raise ValueError(
                f"split is of Omniglot; {kind} has one split of its classes, got {self.split!r}."
            )
        if not isinstance(dataset, str):
            return dataset
        return KINDS[kind](rest, self) if rest else DATASETS[dataset](self)


@dataclasses.dataclass(frozen=True)
class Images(ImageSource, Domain):
    """Few-shot classification of images."""

    has_images = True
    protocol_fields: ClassVar = {
        "n_way": ("n_way",),
        "k_shot": ("k_shot",),
        "q_queries": ("q_queries",),
        "transductive": (),
    }
    training_fields: ClassVar = (
        *("train_n_way", "train_k_shot", "train_q_queries", "whole_batch", "augment"),
        "unlabelled",  # What an episode has beside: labelled images and queries are the same.
    )
    metric = ACCURACY
    loss_fn = staticmethod(optax.softmax_cross_entropy)
    score = staticmethod(losses.accuracy)

    n_way: int = 5
    """Classes of an episode at test."""
    k_shot: int = 1
    """Support images of each class at test."""
    q_queries: int = 15
    """Query images of each class at test."""
    train_n_way: int = 5
    """Classes of an episode in training."""
    train_k_shot: int = 1
    """Support images of each class in training."""
    train_q_queries: int = 15
    """Query images of each class in training."""
    whole_batch: int | None = None
    """Images of a training step, drawn from all classes for a classifier of them. None: training is
    by episodes."""
    unlabelled: int = 0
    """Further support images of each class that come without their label."""
    augment: tuple[Literal["crop", "flip", "colour", "erase", "affine"], ...] = ()
    """Random changes of every training picture, in this order. Pictures at test stay as they
    are."""

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
        return self.tested_on("meta_test")

    def tested_on(self, split: Split) -> Samples:
        """Loads the data; the classes of which split are tested can be said."""
        splits = self.splits()
        shared: dict[str, Any] = {"unlabelled": self.unlabelled, "rotations": self.rotations}
        meta_train = self._training(splits.meta_train, shared)
        meta_val, meta_test = (
            _episodes(
                part,
                getattr(splits, part),
                "n_way, k_shot and q_queries",
                n_way=self.n_way,
                k_shot=self.k_shot,
                q_queries=self.q_queries,
                **shared,
            )
            for part in ("meta_val", split)
        )
        return Samples(meta_train, meta_val, {self.setting: meta_test})

    def _training(self, class_data, shared):
        if self.whole_batch is not None:
            return tasks.whole_batches(
                class_data, batch_size=self.whole_batch, augment=self._augment()
            )
        return _episodes(
            "meta_train",
            class_data,
            "train_n_way, train_k_shot and train_q_queries",
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


def _episodes(part, class_data, fields, **settings):
    """Episodes of a split; an error says of which, and by which fields it is mended."""
    try:
        return tasks.episodes(class_data, **settings)
    except ValueError as error:
        raise ValueError(f"{part}: {error} The fields for it are {fields}.") from error
