"""The command that a pipeline runs after a deployment, against the local stack."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

from dropbell.command_line import ExitCode, main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.end_to_end.running_stack import RunningStack


def test_the_smoke_test_of_a_service_that_works(
    stack: RunningStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {
        "DROPBELL_API": stack.addresses["api"],
        "DROPBELL_TOKEN": stack.token(app="ingest-app"),  # as a pipeline: an application
        "DROPBELL_CONFIG_DIR": str(tmp_path),
    }
    hook = f"smoke-{uuid.uuid4().hex}"
    target = f"{stack.addresses['inbox']}/hooks/{hook}"

    code = main(["smoke", "--target", target, "--timeout", "30", "--json"], environment)

    output = capsys.readouterr()
    assert code == ExitCode.OK, output.err
    steps = [json.loads(line)["name"] for line in output.out.splitlines()]
    assert steps == ["healthy", "subscribed", "stored", "announced", "delivered"]
    (message,) = stack.messages(hook)
    assert message
