"""The C++ client library's own program against the real server."""

import os
import subprocess

from spard_process import PATIENCE, environment


def test_the_library_asks_explains_cancels_and_verifies(server, queries):
    run = subprocess.run(
        [os.environ["SPAR_CLIENT_TEST"]], capture_output=True, text=True, check=False,
        timeout=PATIENCE,
        env=environment(SPAR_SERVER=server.address, SPAR_PROMPT=queries[0][0]))
    assert run.returncode == 0, run.stdout + run.stderr
