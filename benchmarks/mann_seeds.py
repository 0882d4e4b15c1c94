"""Whether MANN leaves the plateau of chance: the short recipe, from several seeds.

    python benchmarks/mann_seeds.py --runs runs/mann-seeds

Trains `glyphs-mann-3` once for every seed, resuming what is there, and tests each on streams of
`meta_test`. A run has left the plateau where its mean accuracy from the second presentation on is
nearer to 1 than to chance, one third. Writes `benchmarks/results/mann_seeds.json`. Four minutes a
seed on two cores.
"""

import argparse
import dataclasses
import json
from pathlib import Path

from jaxmeta import recipes, runs
from jaxmeta.runs.run import versions

RECIPE = "glyphs-mann-3"
OUT = Path(__file__).parent / "results" / "mann_seeds.json"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/mann-seeds"))
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    recipe = recipes.find(RECIPE)
    chance = 1 / recipe.task.n_way
    found = []
    for seed in range(arguments.seeds):
        folder = arguments.runs / str(seed)
        runs.train(
            RECIPE,
            dataclasses.replace(recipe, outer=dataclasses.replace(recipe.outer, seed=seed)),
            folder,
            resume=True,
        )
        result = runs.evaluate_run(folder)
        by_presentation = result["inductive"]["by_presentation"]
        later = sum(by_presentation[1:]) / len(by_presentation[1:])
        found.append(
            {
                "seed": seed,
                "left the plateau": later > (1 + chance) / 2,
                "accuracy by presentation": [round(value, 3) for value in by_presentation],
                "seconds": round(result["seconds_trained"]),
            }
        )
        print(found[-1], flush=True)
    content = {
        "command": "python benchmarks/mann_seeds.py",
        "recipe": RECIPE,
        "steps": recipe.outer.steps,
        "chance": round(chance, 3),
        "left the plateau": sum(each["left the plateau"] for each in found),
        "of": len(found),
        "runs": found,
        "versions": versions(),
    }
    OUT.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
