# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Few-shot on photos
#
# `FewShotClassifier` learns classes from a handful of pictures each. Here it does so on real photographs
# that come with packages: two from scikit-learn (a pavilion in China and a dahlia) and one from matplotlib
# (Grace Hopper). Three photographs are no data set. A class here is "a piece of this photograph", and
# the pieces of one photograph share its light, its colours and its camera. So the accuracies below are far
# above what your own classes will give; `docs/serving.md` has measured ones. What carries over is how to
# ask, and how to read the answers.
#
# The features are those of a MobileNetV3-small trained on ImageNet, `pip install 'jaxmeta[photos]'`.
# Nothing is trained here.

# %%
import tempfile
from pathlib import Path

import matplotlib.cbook
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

import jaxmeta
from jaxmeta import export, heads
from jaxmeta.learner import Examples

# %% [markdown]
# ## Pieces of three photographs
#
# Pieces are drawn at random places and in random sizes. The five support pieces of each photograph come
# from its left half. Queries are of two kinds: more pieces of the left halves, drawn as the support was and
# overlapping it, and pieces of the right halves, of which no pixel was seen. The first is too easy a
# test, the second is a test on another distribution. Both happen in practice.

# %%
china, dahlia = (Image.fromarray(photo) for photo in load_sample_images().images)
hopper = Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg")).convert("RGB")
photos = {"pavilion": china, "dahlia": dahlia, "portrait": hopper}
random = np.random.default_rng(0)


def pieces(photo, count, half):
    """`count` square pieces of one half of a photograph: 0 is the left one, 1 the right one."""
    width, height = photo.size[0] // 2, photo.size[1]
    found = []
    for _ in range(count):
        side = int(random.uniform(0.5, 0.9) * min(width, height))
        left = half * width + random.integers(0, width - side + 1)
        top = random.integers(0, height - side + 1)
        box = (left, top, left + side, top + side)
        found.append(photo.crop(box).resize((224, 224)))
    return found


support = {name: pieces(photo, 5, half=0) for name, photo in photos.items()}
left = {name: pieces(photo, 20, half=0) for name, photo in photos.items()}
right = {name: pieces(photo, 20, half=1) for name, photo in photos.items()}

figure, panels = plt.subplots(3, 8, figsize=(11, 4.6), layout="constrained")
for row, name in zip(panels, photos, strict=True):
    for number, (axes, piece) in enumerate(zip(row, support[name] + right[name][:3], strict=True)):
        axes.imshow(piece)
        axes.set(xticks=[], yticks=[], title=f"{name}, {'support' if number < 5 else 'right half'}")
        axes.title.set_fontsize("x-small")
plt.show()


# %% [markdown]
# ## Fit and ask
#
# `fit` takes pictures and names. Every support picture is also held out once and predicted from the
# others, which says what the answers to come are worth.


# %%
def flat(pieces):
    pictures = [piece for name in pieces for piece in pieces[name]]
    return pictures, np.array([name for name in pieces for _ in pieces[name]])


classifier = jaxmeta.FewShotClassifier().fit(*flat(support))
print(f"held out: {classifier.n_held_out_} support pieces, {classifier.held_out_score_:.0%} right")
queries = {"left halves": flat(left), "right halves": flat(right)}
for name, (pictures, truth) in queries.items():
    print(f"{name}: {(classifier.predict(pictures) == truth).sum()} of {len(truth)} right")

# %% [markdown]
# ## Probabilities and sets
#
# The probabilities are softened by a temperature that the held-out pictures asked for. A set is meant to
# hold the truth nine times out of ten; a set of more than one class, or of none, means "unsure". Such a
# promise is for pictures of the kind that the support pictures are of.

# %%
for name, (pictures, truth) in queries.items():
    answers = classifier.answers(pictures)
    column = np.searchsorted(classifier.classes_, truth)
    held = answers.sets[np.arange(len(truth)), column].mean()
    size = answers.sets.sum(1).mean()
    print(f"{name}: {held:.0%} of the sets hold the truth, {size:.2f} classes in each, ", end="")
    print(f"unsure of {answers.is_unsure.sum()} in {len(truth)}")

figure, axes = plt.subplots(figsize=(9, 3.2), layout="constrained")
bottom = np.zeros(len(truth))
for number, name in enumerate(classifier.classes_):
    share = 100 * answers.probabilities[:, number]
    axes.bar(np.arange(len(truth)), share, bottom=bottom, width=1, label=name)
    bottom += share
for edge in (19.5, 39.5):
    axes.axvline(edge, color="black", linewidth=1)
axes.set(
    title="right halves", ylabel="probability, %", ylim=(0, 100), xlim=(-0.5, len(truth) - 0.5)
)
axes.set_xticks([9.5, 29.5, 49.5], [f"pieces of the {name}" for name in photos])
axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), title="class")
plt.show()

# %% [markdown]
# ## None of these
#
# What does it say of pictures that belong to no class? We ask of two strangers: coloured noise, and pieces
# of matplotlib's drawing of a present. An answer is "none of these" when at most 5 % of the held-out
# pictures lie as far from every class, the picture itself counted among them. With 15 held-out pictures
# the smallest such share is 1 in 16, so the classifier cannot say it at all. Two more pieces of each
# photograph make 21, and then it can. `partial_fit` adds them.

# %%
drawing = Image.open(matplotlib.cbook.get_sample_data("Minduka_Present_Blue_Pack.png"))
white = Image.new("RGBA", drawing.size, "white")
present = Image.alpha_composite(white, drawing.convert("RGBA")).convert("RGB")
noise = Image.fromarray(random.integers(0, 256, (256, 512, 3), np.uint8))
strangers = {
    "noise": pieces(noise, 20, half=0),
    "drawing": [
        present.crop((a, b, a + 96, b + 96)).resize((224, 224))
        for a, b in random.integers(0, 33, (20, 2))
    ],
}
groups = {name: pictures for name, (pictures, _) in queries.items()} | strangers

before = {name: classifier.answers(group) for name, group in groups.items()}
more = {name: pieces(photo, 2, half=0) for name, photo in photos.items()}
classifier.partial_fit(*flat(more))
after = {name: classifier.answers(group) for name, group in groups.items()}
for name in groups:
    said = [f"{found[name].is_none.sum()} of {len(groups[name])}" for found in (before, after)]
    print(f"{name:12} 'none of these' with 15 pictures: {said[0]}, with 21: {said[1]}")

figure, panels = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained", width_ratios=(1, 2))
for number, name in enumerate(strangers):
    inset = panels[0].inset_axes((0.5 * number, 0.15, 0.46, 0.7))
    inset.imshow(strangers[name][0])
    inset.set(xticks=[], yticks=[], title=name)
panels[0].axis("off")
for number, name in enumerate(groups):
    places = number + np.linspace(-0.3, 0.3, len(groups[name]))
    panels[1].plot(places, after[name].p_known, "o", markersize=4)
panels[1].axhline(0.05, color="black", linestyle=":", label='"none of these" from here down')
panels[1].set(ylabel='p-value of "one of the classes"', ylim=(0, 1.03))
panels[1].set_xticks(range(len(groups)), groups)
panels[1].legend(fontsize="small")
plt.show()

# %% [markdown]
# Of pictures drawn as the support was, every set holds the truth. Of the right halves only 73 % do, not
# 90: one support piece of the pavilion is mostly sky, but no right half of it has a pavilion at all, only
# a lake in haze. The 16 right halves that are "none of these" are pavilion pieces of that kind, which one
# may well call right. Noise is found out 20 times in 20, and the drawing never: it is somewhat strange to
# the classifier, at a p-value of 0.09, and so was one of its own held-out pieces. With 21 pictures the
# alarm sounds only for what is stranger than all of them. It is a hint and no lock.
#
# ## One file
#
# `export.write` puts a learner's `adapt` and `predict` and its parameters, here with the features before
# them, into one file that runs with JAX alone. We write one that takes the pixels themselves, read it
# back, adapt what was read to the same 21 pieces, and ask again. `jaxmeta export` is the command for it.

# %%
learner = heads.on_features(heads.PhotoNet(), heads.class_means())
params = heads.OnFeatures(jaxmeta.networks.mobilenet_v3_small_weights(), {})


def pixels(pictures):
    return np.stack([np.asarray(picture, np.float32) / 255 for picture in pictures])


def one_hot(names):
    return np.float32(np.asarray(names)[:, None] == classifier.classes_)


parts = [flat(support), flat(more)]
examples = Examples(
    pixels(parts[0][0] + parts[1][0]), one_hot(np.concatenate([parts[0][1], parts[1][1]]))
)
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "photos.zip"
    about = {"classes": classifier.classes_.tolist()}
    export.write(path, learner, params, examples, about=about)
    size = path.stat().st_size
    artefact = export.read(path)
adapted = artefact.adapt(artefact.params, [0, 0], *examples[:2])
logits = artefact.predict(artefact.params, adapted, pixels(pictures))
again = np.array(artefact.card["classes"])[np.argmax(logits, axis=1)]
same = (again == classifier.predict(pictures)).sum()
print(f"{size / 1e6:.1f} MB; the same answer for {same} of {len(pictures)} pieces")
