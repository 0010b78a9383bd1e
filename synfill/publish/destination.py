"""Where to push, and whether that may be done: asked before any work is begun."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synfill.errors import RunError, UsageError
from synfill.patience import Tell, ask, failures
from synfill.publish.explain import explain
from synfill.publish.kinds import DATASET, Kind
from synfill.publish.listing import RUN, LocalFolder, RemoteFile, is_of_run, list_remote
from synfill.transport import prepare_client

_ID = re.compile(r"(?:(?P<namespace>[^/]+)/)?(?P<name>[^/]+)")
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")


@dataclass(frozen=True)
class PushSettings:
    """What a user says of a push.

    Attributes:
        repo_id: `owner/name`, or a name under the user's own account; None for
            `<user>/` and the default name.
        private: Whether a new repository is private; None for the namespace's default.
        revision: The branch; None for main. It is made if it isn't there.
        create_pr: Whether to open a pull request instead of committing.
        commit_message: Of the commit; None for one that names synfill.
        overwrite: Whether what is of another origin may be replaced.
    """

    repo_id: str | None = None
    private: bool | None = None
    revision: str | None = None
    create_pr: bool = False
    commit_message: str | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Destination:
    """A repository that may be pushed to.

    Attributes:
        id: `owner/name`.
        settings: What the user said.
        exists: Whether it is there already.
        has_branch: Whether `settings.revision` is there already.
        private: Whether it is, or will be, private; None for the namespace's default.
        kind: What it holds.
    """

    id: str
    settings: PushSettings
    exists: bool
    has_branch: bool
    private: bool | None
    kind: Kind = DATASET

    @property
    def url(self) -> str:
        """Its page."""
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/{self.kind.pages}{self.id}"

    def audience(self) -> str:
        """Who will be able to see it, as a sentence."""
        owner = self.id.split("/")[0]
        verb = "is" if self.exists else "will be"
        if self.private:
            return (
                f"{self.id} {verb} private: only {owner} (for an organization: its members) can "
                "see it."
            )
        if self.private is None:
            return (
                f"{self.id} will be made with the default of {owner}, which is public unless it "
                "was set otherwise: anyone can see it. --private keeps it to its owner."
            )
        return f"{self.id} {verb} public: anyone can see it."


def default_name(source_name: str, kind: Kind) -> str:
    """A repository's name for a source, in the letters that the Hub takes; "" if none are."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", source_name)
    name = re.sub(r"-{2,}", "-", re.sub(r"\.{2,}", ".", name)).strip("-.")[:80].strip("-.")
    return f"{name}{kind.suffix}" if name else ""


def check_destination(
    settings: PushSettings,
    source_name: str,
    identity: Mapping[str, Any],
    local: LocalFolder | None,
    tell: Tell,
    kind: Kind = DATASET,
) -> Destination:
    """Find out who the user is and whether the push can be done. Changes nothing.

    Args:
        settings: What the user said.
        source_name: The short name of what it is made of, for the default id.
        identity: What makes the run this run, as in run.json.
        local: What is to be pushed, where it is finished already.
        tell: Where notes go.
        kind: What is to be pushed.

    Raises:
        UsageError: The id can't be, or the repository isn't the user's or holds something else.
        RunError: Not logged in, or the Hub can't be asked.
    """
    prepare_client()
    try:
        return _check(settings, source_name, identity, local, tell, kind)
    except failures() as error:
        raise explain(error, "Asking the Hub before the push", kind) from error


def _check(
    settings: PushSettings,
    source_name: str,
    identity: Mapping[str, Any],
    local: LocalFolder | None,
    tell: Tell,
    kind: Kind,
) -> Destination:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    api = HfApi()
    # The shape of an id is known without asking.
    given = _split(settings.repo_id, kind) if settings.repo_id is not None else None
    if settings.create_pr and settings.revision is not None:
        raise UsageError(
            "--create-pr opens a pull request on main, so that another branch means nothing.",
            "Leave one of the two out.",
        )
    me = ask("Asking who you are", api.whoami, tell)
    id = _choose_id(given, source_name, str(me["name"]), kind)
    info: Any = None
    try:
        info = ask(
            "Looking for the repository", lambda: api.repo_info(id, repo_type=kind.name), tell
        )
    except RepositoryNotFoundError:
        if settings.create_pr:
            raise UsageError(
                f"There is no {kind.name} {id} to open a pull request on.", "Leave --create-pr out."
            ) from None
    if not settings.create_pr:
        check_rights(me, id)
    if info is None:
        return Destination(id, settings, False, False, settings.private, kind)
    private = bool(info.private)
    if settings.private is not None and settings.private != private:
        now, wanted = ("private", "--public") if private else ("public", "--private")
        raise UsageError(
            f"{id} is there already and is {now}, but {wanted} was asked for.",
            f"Change it in its settings on the Hub, leave {wanted} out, or choose another id.",
        )
    has_branch = True
    try:
        remote = list_remote(kind, id, settings.revision, tell)
    except RevisionNotFoundError:
        # A new branch begins with what main holds.
        has_branch, remote = False, list_remote(kind, id, None, tell)
    if not settings.overwrite and not settings.create_pr:
        revision = settings.revision if has_branch else None
        _check_origin(kind, id, revision, remote, identity, local, tell)
    return Destination(id, settings, True, has_branch, private, kind)


def _split(repo_id: str, kind: Kind) -> tuple[str | None, str]:
    found = _ID.fullmatch(repo_id)
    parts = [part for part in (found.groups() if found else ()) if part is not None]
    for part in parts:
        if not _NAME.fullmatch(part) or "--" in part or ".." in part or part.endswith(".git"):
            found = None
    if found is None:
        raise UsageError(
            f"'{repo_id}' can't be the id of a {kind.name} on the Hub.",
            "An id is owner/name, of letters, digits, '-', '_' and '.'; 96 at most, no '--' or "
            "'..' in it.",
        )
    return found["namespace"], found["name"]


def _choose_id(
    given: tuple[str | None, str] | None, source_name: str, user: str, kind: Kind
) -> str:
    namespace, name = given if given is not None else (None, default_name(source_name, kind))
    if not name:
        raise UsageError(
            f"No id can be made of the source's name '{source_name}'.",
            f"Give one: --repo-id {user}/NAME (or, for synfill push, after the folder).",
        )
    return f"{namespace or user}/{name}"


def check_rights(me: Mapping[str, Any], id: str) -> None:
    """Refuse what the Hub would refuse after hours of work.

    Args:
        me: The Hub's answer to whoami.
        id: Where to push.

    Raises:
        UsageError: The namespace isn't the user's to write in.
        RunError: The token may only read.
    """
    namespace = id.split("/")[0].casefold()
    roles = {str(org["name"]).casefold(): org.get("roleInOrg") for org in me.get("orgs", [])}
    user = str(me["name"])
    if namespace != user.casefold() and namespace not in roles:
        known = ", ".join([user, *(org["name"] for org in me.get("orgs", []))])
        raise UsageError(
            f"You are logged in as {user}, who can't write to {id}.",
            f"Choose an id under: {known}. Or log in as someone else: hf auth login --force",
        )
    if namespace in roles and roles[namespace] == "read":
        raise UsageError(
            f"You ({user}) may only read in the organization of {id}.",
            "Ask its administrators for write access, or choose an id of your own.",
        )
    token = (me.get("auth") or {}).get("accessToken") or {}
    scopes = (token.get("fineGrained") or {}).get("scoped") or []
    writes = any("repo.write" in (scope.get("permissions") or []) for scope in scopes)
    if token.get("role") == "read" or (token.get("role") == "fineGrained" and not writes):
        raise RunError(
            f"The token of {user} may only read, and a push writes.",
            "Make one with write access at https://huggingface.co/settings/tokens, then run: "
            "hf auth login --force",
        )


def _check_origin(
    kind: Kind,
    id: str,
    revision: str | None,
    remote: Mapping[str, RemoteFile],
    identity: Mapping[str, Any],
    local: LocalFolder | None,
    tell: Tell,
) -> None:
    """Only an empty repository, or one that this very run was pushed to, is written to."""
    if not remote:
        return
    # A push that broke off may have left some of our files and not yet run.json.
    if local is not None and local.is_all_of(remote):
        return
    what = "is there already and holds something else"
    if RUN in remote:
        if is_of_run(kind, id, revision, identity, tell):
            return
        what = f"is there already and holds the {kind.name} of another run"
    raise UsageError(
        f"{id} {what} ({', '.join(sorted(remote)[:4])}{', ...' if len(remote) > 4 else ''}).",
        "Choose another id, or add --overwrite to replace it.",
    )
