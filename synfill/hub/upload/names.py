"""What a user may call a repository, a branch and a commit: checked before anything is asked."""

from __future__ import annotations

import re

from synfill.errors import UsageError
from synfill.hub.failures import plain
from synfill.hub.upload.kinds import Kind

_ID = re.compile(r"(?:(?P<namespace>[^/]+)/)?(?P<name>[^/]+)")
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
_TOKEN = re.compile(r"(?:^|/)(?:hf|api_org)_[A-Za-z0-9]{20,}|(?:hf|api_org)_[A-Za-z0-9]{30,}")
_OF_GIT = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def default_name(source_name: str, kind: Kind) -> str:
    """A repository's name for a source, in the letters that the Hub takes; "" if none are."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", source_name)
    name = re.sub(r"-{2,}", "-", re.sub(r"\.{2,}", ".", name)).strip("-.")[:80].strip("-.")
    return f"{name}{kind.suffix}" if name else ""


def split_id(repo_id: str, kind: Kind) -> tuple[str | None, str]:
    """The namespace (None where it isn't given) and the name of an id.

    Raises:
        UsageError: It can't be the id of a repository, or is an access token.
    """
    _refuse_token(repo_id, f"id of a {kind.name}", "An id is owner/name.")
    found = _ID.fullmatch(repo_id)
    parts = [part for part in (found.groups() if found else ()) if part is not None]
    for part in parts:
        if not _NAME.fullmatch(part) or "--" in part or ".." in part or part.endswith(".git"):
            found = None
    if found is None:
        raise UsageError(
            f"{plain(repo_id)!r} can't be the id of a {kind.name} on the Hub.",
            "An id is owner/name, of letters, digits, '-', '_' and '.'; 96 at most, no '--' or "
            "'..' in it.",
        )
    return found["namespace"], found["name"]


def _refuse_token(text: str, what: str, hint: str) -> None:
    if _TOKEN.search(text) or _is_token_in_use(text):
        raise UsageError(
            f"What was given as the {what} holds what looks like an access token.",
            f"{hint} If it is a token, the shell may have kept it in its history: revoke it at "
            "https://huggingface.co/settings/tokens.",
        )


def _is_token_in_use(text: str) -> bool:
    from huggingface_hub import get_token

    token = get_token()
    return token is not None and token in text


def check_branch(name: str) -> None:
    """Refuse what git, or the Hub, takes for no branch (the rules of `git check-ref-format`).

    Raises:
        UsageError: It can't be the name of a branch.
    """
    _refuse_token(name, "name of a branch", "Everyone who may see the repository can read it.")
    parts = name.split("/")
    if not name.strip():
        reason = "it is empty"
    elif name.startswith("refs/"):
        reason = "'refs/...' names other things than branches (a pull request: --create-pr)"
    elif name.startswith("-"):
        reason = "it begins with '-'"
    elif found := _OF_GIT.search(name):
        reason = f"it has {found[0]!r} in it"
    elif ".." in name or "@{" in name:
        reason = "it has '..' or '@{' in it"
    elif name in ("@", "HEAD"):
        reason = "git uses it for something else"
    elif any(not part or part.startswith(".") or part.endswith(".lock") for part in parts):
        reason = "a part of it is empty, begins with '.' or ends with '.lock'"
    elif name.endswith("."):
        reason = "it ends with '.'"
    elif _COMMIT.fullmatch(name):
        reason = "it reads as the id of a commit"
    elif len(name.encode()) > 200:
        reason = "it is too long"
    else:
        return
    raise UsageError(
        f"{plain(name)!r} can't be the name of a branch: {reason}.",
        "Give another --revision, such as v2, or leave it out for main.",
    )


def check_message(message: str) -> None:
    """Refuse a commit's message that the Hub refuses.

    Raises:
        UsageError: It is blank, or has an access token in it.
    """
    _refuse_token(message, "commit's message", "Everyone who may see the repository can read it.")
    if not message.strip():
        raise UsageError(
            "The commit's message is blank, which the Hub doesn't take.",
            "Say something, or leave --commit-message out.",
        )
