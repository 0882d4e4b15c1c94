"""What the committed runs of in-context agents show: the numbers that theory or counting gives."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxmeta.rl import bandits

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks/results"


def evaluation(name):
    return json.loads((RESULTS / name / "evaluation.json").read_text())


def test_a_pretrained_agent_on_bandits_is_thompson_sampling():
    result = evaluation("bandit-dpt-5a10")
    reward = {name: row["mean"] for name, row in result["expected_reward"].items()}
    # 5.837 is Thompson sampling's over a million bandits; greedy, 6.63, is far from it.
    assert abs(reward["agent"] - 5.837) < 0.05 and abs(reward["Thompson sampling"] - 5.837) < 0.05
    np.testing.assert_allclose(reward["Bayes optimum"], bandits.bayes_optimal(5, 10).sum())
    rows = result["posterior"]["total_variation"]
    assert [row["pulls"] for row in rows] == list(range(11))
    assert sum(row["contexts"] for row in rows) == 184_756  # All there are: C(20, 10).
    # On average over the prefixes it is trained on; a rare context can be further off.
    assert np.mean([row["mean"] for row in rows]) < 0.02
    assert max(row["mean"] for row in rows[:8]) < 0.02


def test_a_pretrained_agent_finds_its_way_in_the_dark_room():
    result = evaluation("dark-room-dpt")
    assert result["optimum_of_an_episode"] == pytest.approx(91.99)
    assert result["given_context"]["with the teacher"]["mean"] > 80
    online = result["by_episode"]["trained"]
    gain = online["mean"][-1] - online["mean"][0]
    assert gain > online["interval"][0] + online["interval"][-1] > 0
