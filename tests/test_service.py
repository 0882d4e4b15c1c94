"""The web service of docs/serving.md, on a local port."""

import io
import json
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

import jaxmeta

DOCS = Path(__file__).parents[1] / "docs" / "serving.md"
COLOURS = {"red": (220, 20, 20), "green": (20, 220, 20), "blue": (20, 20, 220)}


def picture(colour, shift=0):
    return Image.new("RGB", (12, 9), tuple(part + shift for part in colour))


def png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def address():
    code = DOCS.read_text().split("<!-- service -->")[1].split("```")[1].removeprefix("python")
    assert len(code.strip().splitlines()) <= 30
    names: dict = {}
    exec(compile(code, "serving.md", "exec"), names)
    classifier = jaxmeta.FewShotClassifier(
        jaxmeta.prototypical(jaxmeta.networks.Identity()), {}, image_shape=(4, 4, 3)
    )
    rows = [(picture(COLOURS[name], shift), name) for name in COLOURS for shift in (0, 8, 16)]
    classifier.fit(*map(list, zip(*rows, strict=True)))
    with names["service"](classifier, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_pictures_are_answered_and_what_is_none_is_refused(address):
    def answer(body):
        with urllib.request.urlopen(urllib.request.Request(address, body), timeout=60) as reply:
            return json.loads(reply.read())

    for name, colour in COLOURS.items():
        said = answer(png(picture(colour, 4)))
        assert said["class"] == name and name in said["set"]
        assert said["all"].keys() == COLOURS.keys()
        assert sum(said["all"].values()) == pytest.approx(1)
    with pytest.raises(urllib.error.HTTPError) as refused:
        answer(b"no picture")
    assert refused.value.code == 400
    assert "cannot identify" in json.loads(refused.value.read())["error"]
    assert answer(png(picture(COLOURS["red"])))["class"] == "red"  # It goes on.
