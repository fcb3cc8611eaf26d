#!/usr/bin/env python3
"""The outputs of ``infra/main.bicep``, as a deployment has them, become variables.

In the workflow those of its next steps, elsewhere those of the shell: ``eval "$(deploy/take_outputs.py)"``.
An argument names another deployment than ``dropbell``. Resource Manager gives names back in another case
(``dropbelL_API_URL``).
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Ask the Azure CLI; what it says of an error is told as it is."""
    name = sys.argv[1] if len(sys.argv) > 1 else "dropbell"
    command = ["az", "deployment", "group", "show", "--resource-group", os.environ["AZURE_RESOURCE_GROUP"]]
    command += ["--name", name, "--query", "properties.outputs", "--output", "json"]
    asked = subprocess.run(command, stdout=subprocess.PIPE, check=False)  # noqa: S603 - the Azure CLI
    if asked.returncode:
        sys.exit(asked.returncode)
    outputs = {key.upper(): str(output["value"]) for key, output in json.loads(asked.stdout).items()}
    if "GITHUB_ENV" in os.environ:
        with Path(os.environ["GITHUB_ENV"]).open("a", encoding="utf-8") as following_steps:
            following_steps.writelines(f"{key}={value}\n" for key, value in outputs.items())
    else:
        print("\n".join(f"export {key}={shlex.quote(value)}" for key, value in outputs.items()))


if __name__ == "__main__":
    main()
