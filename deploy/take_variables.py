#!/usr/bin/env python3
"""For the workflow: the variables of its GitHub environment (JSON in VARIABLES) become those of its steps.

One that is not set stays unset, so that ``infra/main.bicepparam`` takes its default. A value has one line.
"""

import json
import os
import re
from pathlib import Path

NAME = re.compile(r"(AZURE|DROPBELL)_[A-Z_]+")


def main() -> None:
    """Append to the file that GITHUB_ENV names."""
    variables = json.loads(os.environ["VARIABLES"])
    with Path(os.environ["GITHUB_ENV"]).open("a", encoding="utf-8") as following_steps:
        for name, value in variables.items():
            line = " ".join(str(value).splitlines())
            if NAME.fullmatch(name) and line:
                following_steps.write(f"{name}={line}\n")


if __name__ == "__main__":
    main()
