import dataclasses
import json

import numpy as np
import pytest

from jaxmeta import FewShotClassifier, recipes, runs


def test_a_run_on_streams_from_training_to_the_memory_trace(small_images, tmp_path):
    recipe = recipes.find("omniglot-mann-15-strings")
    recipe = dataclasses.replace(
        recipe,
        task=dataclasses.replace(recipe.task, n_way=3, per_class=4, length=11, size=4),
        learner=dataclasses.replace(recipe.learner, hidden=4, slots=6, width=3),
        outer=dataclasses.replace(
            recipe.outer,
            steps=2,
            meta_batch_size=2,
            steps_per_call=1,
            validate_every=1,
            validation_episodes=4,
        ),
        test_episodes=8,
    )
    fitted = runs.train("omniglot-mann-15-strings", recipe, tmp_path)
    assert fitted.is_complete
    result = runs.evaluate_run(tmp_path)
    assert result["setting"] == "3 classes as strings, 11 steps"
    for row in ("inductive", "untrained", "raw_pixel_nearest_neighbour"):
        assert len(result[row]["by_presentation"]) == 4
        assert 0 <= result[row]["mean"] <= 1
    # Noise has no nearest class, but copying a label that was shown is better than guessing.
    assert result["raw_pixel_nearest_neighbour"]["mean"] > 0.1
    with pytest.raises(ValueError, match="is not one of few-shot episodes"):
        FewShotClassifier.from_run(tmp_path)
    memory = json.loads((tmp_path / runs.MEMORY_TRACE).read_text())
    assert np.shape(memory["read"]) == np.shape(memory["write"]) == (11, 6)
    np.testing.assert_allclose(np.sum(memory["read"], axis=1), 2, atol=1e-2)  # Two heads.
    assert len(memory["is_right"]) == 11 and set(memory["classes"]) == {0, 1, 2}
