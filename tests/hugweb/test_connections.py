"""How many connections there may be, by what the system gives; ``test_server`` holds them."""

import pytest

from tests.serving import run_python

CODE = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
from hugweb.connections import most_connections
print(most_connections({wanted}), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "most", "raised"),
    [
        (256, 256, 1000, 28, 256),
        (256, 1200, 1000, 500, 1200),
        (256, 4000, 1000, 1000, 2200),
        (210, 210, 9, 5, 210),
    ],
)
def test_as_many_as_there_are_descriptors_for(tmp_path, soft, hard, wanted, most, raised):
    said = run_python(CODE.format(soft=soft, hard=hard, wanted=wanted), tmp_path)
    assert said.split() == [str(most), str(raised)]
