import subprocess
import sys

from hub_server import Fault

ASK = """
from huggingface_hub import HfApi, get_session
from synfill.publish import client

client.TIMEOUT, client.FIRST_WAIT = 0.3, 0.01
before, told = get_session().timeout, []
with client.patient_client(told.append):
    print(HfApi().whoami()["name"], len(told))
assert get_session().timeout == before and "send" not in vars(get_session())
"""


def test_a_connection_that_hangs_is_given_up_and_made_anew(hub, alice, tmp_path):
    hub.faults.append(Fault("whoami", "slow", times=2, seconds=1))
    ran = subprocess.run(
        [sys.executable, "-c", ASK],
        capture_output=True, text=True, env=hub.environment(tmp_path / "home", alice.token),
    )  # fmt: skip
    assert ran.stdout == "alice 2\n", ran.stderr
