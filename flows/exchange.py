"""What the work trees of two machines give each other: commits by Git, data by DVC's remote."""

from catalog.errors import UserError
from flows import dvc
from flows.workspace import Workspace

REMOTE = "origin"


def publish(tree: Workspace) -> str:
    """Push the branch that is checked out to `origin`; return its commit.

    Raises `UserError` where there is no such remote, or where it has commits that are not here.
    """
    branch = _branch(tree)
    try:
        tree.git("push", "--quiet", REMOTE, f"HEAD:refs/heads/{branch}")
    except UserError as error:
        raise UserError(
            f"{error.what}",
            f"If {REMOTE} has commits that are not here, `git pull --rebase` and run the same "
            "command again; what was computed is kept.",
        ) from error
    return tree.head()


def follow(tree: Workspace, commit: str | None = None) -> str:
    """Bring the branch to what `origin` has of it, forwards only; return the commit.

    What DVC wrote of a run that ended in the middle goes: its cache keeps what each stage made, so
    a stage that was done and is still asked for is not run again. Raises `UserError` where other
    work of this tree stands in the way, or where `commit` is not among what came.
    """
    branch = _branch(tree)
    tree.git("fetch", "--quiet", REMOTE, branch)
    if tree.git("rev-list", "--max-count=1", "HEAD..FETCH_HEAD"):
        _set_back(tree, dvc.written(tree.root))
    try:
        tree.git("merge", "--quiet", "--ff-only", "FETCH_HEAD")
    except UserError as error:
        raise UserError(
            f"{tree.root} cannot go on to {branch} of {REMOTE}: {error.what}",
            "Commit or undo what was changed there by hand (`git status`), bring the branches "
            "together, and run the same command again.",
        ) from error
    if commit is not None:
        try:
            tree.git("merge-base", "--is-ancestor", commit, "HEAD")
        except UserError as error:
            raise UserError(
                f"The commit {commit[:12]} is not on {branch} of {REMOTE}.",
                f"Both machines must have the branch {branch} checked out, and one {REMOTE}.",
            ) from error
    return tree.head()


def agree(tree: Workspace) -> str:
    """Bring the branch here and on `origin` to one commit: forwards here, then forwards there.

    So what the other machine gave back to a run that was killed meanwhile is taken over. Raises
    `UserError` as `follow` and `publish` do.
    """
    if tree.git("ls-remote", "--heads", REMOTE, _branch(tree)).strip():
        follow(tree)
    return publish(tree)


def _set_back(tree: Workspace, paths: list[str]) -> None:
    kept = tree.git("ls-tree", "--name-only", "HEAD", "--", *paths).splitlines()
    if kept:
        tree.git("checkout", "--quiet", "HEAD", "--", *kept)
    for path in set(paths) - set(kept):
        (tree.root / path).unlink(missing_ok=True)


def _branch(tree: Workspace) -> str:
    if REMOTE not in tree.git("remote").split():
        raise UserError(
            f"The work tree {tree.root} has no Git remote {REMOTE}.",
            f"Give both machines one: git remote add {REMOTE} URL.",
        )
    branch = tree.git("rev-parse", "--abbrev-ref", "HEAD").strip()
    if branch == "HEAD":
        raise UserError(
            f"No branch is checked out in {tree.root}.", "Check one out: git checkout main."
        )
    return branch
