"""Entry point of a worker process: ``python -P …/functions_worker/__main__.py CHANNEL_FD APP_DIR``.

Started by path and with ``-P``, so that nothing of the host leads the app's module search path.
"""

import importlib
import sys
from pathlib import Path


def _main() -> None:
    channel_fd, app_dir = int(sys.argv[1]), Path(sys.argv[2])
    package = Path(__file__).resolve().parent
    sys.path.insert(0, str(package.parent))
    serve = importlib.import_module(f"{package.name}.serve")
    sys.path.pop(0)
    serve.main(channel_fd, app_dir)


if __name__ == "__main__":
    _main()
