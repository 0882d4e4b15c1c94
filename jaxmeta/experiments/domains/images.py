"""Images: where they come from, and their few-shot classification."""

import dataclasses
from collections.abc import Callable
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
    unlabelled: int = 0
    """further support images per class that come without their label"""

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
        meta_train = tasks.episodes(
            splits.meta_train,
            n_way=self.train_n_way,
            k_shot=self.train_k_shot,
            q_queries=self.train_q_queries,
            **shared,
        )
        meta_val, meta_test = (
            tasks.episodes(
                split, n_way=self.n_way, k_shot=self.k_shot, q_queries=self.q_queries, **shared
            )
            for split in (splits.meta_val, splits.meta_test)
        )
        return Samples(meta_train, meta_val, {self.setting: meta_test})

    def results(self, work: Work) -> dict:
        """Both protocols, fresh parameters, the raw-pixel floor, and the adaptation."""
        return image_results(work)

    def trace(self, work: Work) -> None:
        """None: the images of an episode come together."""
