"""What may be said of a push to the Hub: options that several commands share."""

from __future__ import annotations

from synfill.config.settings import Settings, option

HUB = "The Hugging Face Hub"
PRIVATE = option(
    None,
    "Who may see a new repository on the Hub. Default: as its owner's settings say.",
    panel=HUB,
    flag="--private/--public",
)
CREATE_PR = option(False, "Open a pull request instead of committing.", panel=HUB)
COMMIT_MESSAGE = option(None, "The commit's message.", panel=HUB, metavar="TEXT")


class PushSettings(Settings):
    """Where something is pushed, and how: the options of `synfill push`."""

    repo_id: str | None = option(
        None,
        "owner/name on the Hub, or a name under your own account. Default: USER/SOURCE-balanced.",
        is_argument=True,
    )
    revision: str | None = option(None, "The branch, made if it isn't there. Default: main.")
    private: bool | None = PRIVATE
    create_pr: bool = CREATE_PR
    commit_message: str | None = COMMIT_MESSAGE
    overwrite: bool = option(False, "Replace what others put or changed there.")
