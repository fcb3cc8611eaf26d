"""Checks of the Bicep files and of what has to agree with them: ``python -m infra.check``.

Each check is a function of the project's folder that gives findings, one sentence each. They read files only,
so that a test can point them at a copy with a flaw.
"""
