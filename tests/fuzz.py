"""Many more cases of the fuzzing tests than the default run tries, others each time; counts them.

    python tests/fuzz.py --cases 1000 --out benchmarks/results/fuzz.json

takes minutes on two cores.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent
FILES = [TESTS / "test_fuzz_data.py", TESTS / "recipes" / "test_fuzz_command.py"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--hypothesis-show-statistics", *FILES],
        env=os.environ | {"JAXMETA_FUZZ_CASES": str(arguments.cases)},
        capture_output=True,
        text=True,
        check=False,
    )
    tried, name = {}, None
    for line in done.stdout.splitlines():
        if heading := re.match(r".*::(\w+(\[.*\])?):$", line):
            name = heading[1]
        elif counts := re.search(r"(\d+) passing[^,]*, (\d+) failing", line):
            tried[name] = tried.get(name, 0) + int(counts[1]) + int(counts[2])
    result = {
        "command": f"python tests/fuzz.py --cases {arguments.cases} "
        "--out benchmarks/results/fuzz.json",
        "inputs tried": tried,
        "total": sum(tried.values()),
        "all tests pass": done.returncode == 0,
        "seconds": round(time.monotonic() - started),
    }
    print(json.dumps(result, indent=2))
    if done.returncode:
        print(done.stdout)
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
