import pytest

from synfill.config.push import PushSettings
from synfill.errors import RunError, UsageError
from synfill.hub.upload.destination import Destination, check_rights, default_name
from synfill.hub.upload.kinds import DATASET, MODEL


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("pets", "pets-balanced"),
        ("my pets (2)", "my-pets-2-balanced"),
        ("..--x..y--", "x.y-balanced"),
        ("жук", ""),
        ("x" * 200, "x" * 80 + "-balanced"),
    ],
)
def test_default_names(source, name):
    assert default_name(source, DATASET) == name
    assert default_name(source, MODEL) == name.removesuffix("-balanced")


def me(role, permissions=()):
    token = {"role": role}
    if role == "fineGrained":
        token["fineGrained"] = {"scoped": [{"permissions": list(permissions)}]}
    orgs = [{"name": "Zoo", "roleInOrg": "contributor"}]
    return {"name": "Alice", "orgs": orgs, "auth": {"accessToken": token}}


def test_tokens_of_every_kind():
    for id in ("alice/x", "Alice/x", "zoo/x"):
        check_rights(me("write"), id)
        check_rights(me("fineGrained", ["repo.content.read", "repo.write"]), id)
    for user in (me("read"), me("fineGrained", ["repo.content.read"])):
        with pytest.raises(RunError, match="may only read"):
            check_rights(user, "alice/x")
    with pytest.raises(UsageError, match="can't write to bob/x"):
        check_rights(me("write"), "bob/x")
    # An OAuth login tells no role.
    check_rights({"name": "alice", "auth": {"type": "oauth"}}, "alice/x")


def test_who_will_see_it():
    def audience(exists, private):
        return Destination("alice/x", DATASET, PushSettings(), exists, True, private).audience()

    assert "is private: only alice" in audience(True, True)
    assert "will be public: anyone" in audience(False, False)
    assert "unless it was set otherwise" in audience(False, None)
