"""Django's settings in tests: the server's, in a home of the tests' own.

pytest-django reads them before any ``conftest.py``, so no test can touch the real home.
"""

import os
import tempfile

_home = tempfile.mkdtemp(prefix="hugweb-test-")
for name in [name for name in os.environ if name.startswith(("HUGWEB_", "OLLAMA_", "HUGGINGFACE_"))]:
    del os.environ[name]
os.environ.update(
    HUGWEB_HOME=_home,
    HF_HOME=f"{_home}/hf",
    HF_HUB_OFFLINE="1",
    OMP_NUM_THREADS="1",
)
# For the processes that tests start.
os.environ["DJANGO_SETTINGS_MODULE"] = "hugweb.settings"

from hugweb.settings import *  # noqa: E402, F403
