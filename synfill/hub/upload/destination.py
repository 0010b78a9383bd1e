"""Where to push, and whether that may be done: asked before any work is begun, and again before
anything is sent, as hours may lie between the two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from synfill.config.push import PushSettings
from synfill.errors import RunError, UsageError
from synfill.hub.client import pushing
from synfill.hub.errors import explain_push
from synfill.hub.failures import failures
from synfill.hub.repository import Contents, check_type
from synfill.hub.retry import Notify, ask
from synfill.hub.upload.kinds import DATASET, Kind
from synfill.hub.upload.listing import LocalFolder
from synfill.hub.upload.names import check_branch, check_message, default_name, split_id
from synfill.hub.upload.remote import Repository
from synfill.runs.dataset_files import RUN
from synfill.runs.identity import as_json
from synfill.wording import list_some


@dataclass(frozen=True)
class Destination(Repository):
    """A repository that may be pushed to.

    Attributes:
        settings: What the user said.
        exists: Whether it is there already.
        has_branch: Whether `settings.revision` is there already.
        private: Whether it is, or will be, private; None for the namespace's default.
        user: Who is logged in.
    """

    settings: PushSettings
    exists: bool
    has_branch: bool
    private: bool | None
    user: str = ""

    @property
    def url(self) -> str:
        """Its page."""
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/{self.kind.pages}{self.id}"

    @property
    def may_replace(self) -> bool:
        """Whether what others put there may be replaced: it was said, or others will decide."""
        return self.settings.overwrite or self.settings.create_pr

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


def check_destination(
    settings: PushSettings,
    source_name: str,
    identity: Mapping[str, Any],
    local: LocalFolder | None,
    notify: Notify,
    kind: Kind = DATASET,
) -> Destination:
    """Find out who the user is and whether the push can be done. Changes nothing.

    Args:
        settings: What the user said.
        source_name: The short name of what it is made of, for the default id.
        identity: What makes the run this run, as in run.json.
        local: What is to be pushed, where it is finished already.
        notify: Takes notes.
        kind: What is to be pushed.

    Raises:
        UsageError: The id can't be, or the repository isn't the user's or holds something else.
        RunError: Not logged in, or the Hub can't be asked.
    """
    with pushing(notify):
        try:
            return _check(settings, source_name, identity, local, kind)
        except failures() as error:
            what = "Asking the Hub before the push"
            raise explain_push(error, what, kind.name, kind.card_hint) from error


def check_again(destination: Destination, local: LocalFolder, notify: Notify) -> Destination:
    """Ask once more, right before something is sent: others may have changed it meanwhile.

    Args:
        destination: What was found out before.
        local: What is to be pushed.
        notify: Takes notes.

    Raises:
        RunError: It may not be pushed to any more, or others can see now what they couldn't.
        Exception: What huggingface_hub raises.
    """
    settings = destination.settings.model_copy(update={"repo_id": destination.id})
    try:
        now = _check(settings, "", local.record["identity"], local, destination.kind)
    except UsageError as error:
        raise RunError(error.message, error.hint) from error
    if now.exists and destination.private and not now.private:
        raise RunError(
            f"{now.id} was private when it was asked about, and is public now. Nothing was sent.",
            "Make it private again in its settings on the Hub, or push to it with --public.",
        )
    if now.exists:
        return now
    if destination.exists:
        notify(f"{now.id} is gone from the Hub, and is made again.")
    # As it was said that it will be seen.
    return replace(now, private=destination.private)


def _check(
    settings: PushSettings,
    source_name: str,
    identity: Mapping[str, Any],
    local: LocalFolder | None,
    kind: Kind,
) -> Destination:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    given = _check_words(settings, kind)
    me = ask("Asking who you are", lambda: _check_identity(HfApi().whoami()))
    user = str(me["name"])
    id = _choose_id(given, source_name, user, kind)
    repository = Repository(id, kind)
    seen: Contents | None = None
    try:
        seen = repository.look()
    except RepositoryNotFoundError:
        if settings.create_pr:
            raise UsageError(
                f"There is no {kind.name} {id} to open a pull request on.", "Leave --create-pr out."
            ) from None
    if not settings.create_pr:
        check_rights(me, id)
    if seen is None:
        return Destination(id, kind, settings, False, False, settings.private, user)
    if settings.private is not None and settings.private != seen.private:
        now, wanted = ("private", "--public") if seen.private else ("public", "--private")
        raise UsageError(
            f"{id} is there already and is {now}, but {wanted} was asked for.",
            f"Change it in its settings on the Hub, leave {wanted} out, or choose another id.",
        )
    branch = settings.revision
    has_branch = branch is None or _has_branch(repository, branch)
    if branch is not None and has_branch:
        # A new branch begins with what main holds.
        seen = repository.look(branch)
    destination = Destination(id, kind, settings, True, has_branch, seen.private, user)
    if not destination.may_replace:
        _check_origin(destination, seen, identity, local)
    return destination


def _check_words(settings: PushSettings, kind: Kind) -> tuple[str | None, str] | None:
    """Check what is known without asking; the parts of the id, where one was given."""
    given = split_id(settings.repo_id, kind) if settings.repo_id is not None else None
    if settings.revision is not None:
        check_branch(settings.revision)
    if settings.commit_message is not None:
        check_message(settings.commit_message)
    if settings.create_pr and settings.revision is not None:
        raise UsageError(
            "--create-pr opens a pull request on main, so that another branch means nothing.",
            "Leave one of the two out.",
        )
    return given


def _check_identity(me: Any) -> dict[str, Any]:
    """The answer to whoami, of the form that is read here."""

    def part(of: dict[str, Any], key: str, kind: type[Any]) -> Any:
        return check_type(of.get(key) or kind(), kind)

    check_type(check_type(me, dict).get("name"), str)
    for org in part(me, "orgs", list):
        check_type(check_type(org, dict).get("name"), str)
    token = part(part(me, "auth", dict), "accessToken", dict)
    for scope in part(part(token, "fineGrained", dict), "scoped", list):
        part(check_type(scope, dict), "permissions", list)
    return dict(me)


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

    By what whoami says: huggingface_hub's `auth_check` knows only repositories that are there.

    Args:
        me: The Hub's answer to whoami.
        id: Where to push.

    Raises:
        UsageError: The namespace isn't the user's to write in.
        RunError: The token may only read.
    """
    namespace = id.split("/")[0].casefold()
    orgs = me.get("orgs") or []
    roles = {str(org["name"]).casefold(): org.get("roleInOrg") for org in orgs}
    user = str(me["name"])
    if namespace != user.casefold() and namespace not in roles:
        known = ", ".join([user, *(org["name"] for org in orgs)])
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


def _has_branch(repository: Repository, name: str) -> bool:
    """Whether a repository has a branch of that name, which may be made if it hasn't.

    Raises:
        UsageError: It can't be made: a tag has the name, or git can't hold it beside another.
    """
    from huggingface_hub import HfApi

    id = repository.id

    def question() -> tuple[list[str], list[str]]:
        refs = HfApi().list_repo_refs(id, repo_type=repository.kind.name)
        branches = [check_type(ref.name, str) for ref in refs.branches]
        return branches, [check_type(ref.name, str) for ref in refs.tags]

    branches, tags = ask("Asking for the branches", question)
    if name in branches:
        return True
    hint = "Give another --revision, or leave it out for main."
    if name in tags:
        raise UsageError(f"'{name}' is a tag in {id}, and only a branch can be pushed to.", hint)
    near = [b for b in branches if b.startswith(f"{name}/") or name.startswith(f"{b}/")]
    if near:
        raise UsageError(f"Git can't hold the branches '{name}' and '{near[0]}' in {id}.", hint)
    return False


def _check_origin(
    destination: Destination,
    seen: Contents,
    identity: Mapping[str, Any],
    local: LocalFolder | None,
) -> None:
    """Only an empty repository, or one that this very run was pushed to, is written to."""
    id, kind, files = destination.id, destination.kind, seen.files
    if not files:
        return
    # A push that broke off may have left some of our files and not yet run.json.
    if local is not None and local.is_all_of(files):
        return
    what = "is there already and holds something else"
    if RUN in files:
        if (destination.read_record(seen) or {}).get("identity") == as_json(identity):
            return
        what = f"is there already and holds the {kind.name} of another run"
    raise UsageError(
        f"{id} {what} ({list_some(sorted(files), 4)}).",
        "Choose another id, or add --overwrite to replace it.",
    )
