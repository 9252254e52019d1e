"""The `mendline` command. Commands are imported only when called, so that --help is quick."""

import difflib
import importlib
from typing import Any

import click

from catalog.errors import said_plainly

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("flows.cli.demo:demo", "Run the whole way on a small web of photos, or on your own."),
    "collect": ("flows.cli.collect:collect", "Fetch images into a snapshot of shards."),
    "takedown": ("flows.cli.collect:takedown", "Block an image by URL, id and perceptual hash."),
    "dedupe": ("flows.cli.dedupe:dedupe", "Group the duplicates of a folder."),
    "screen": ("flows.cli.screen:screen", "Say which image carries which degradation."),
    "degrade": ("flows.cli.degrade:degrade", "Degrade clean images."),
    "restore": ("flows.cli.restore:restore", "Restore degraded images."),
    "judge": ("flows.cli.judge:judge", "Judge how strong a degradation is."),
    "teachers": ("flows.cli.teachers:teachers", "Show who makes clean targets, in which order."),
    "review-pairs": ("flows.cli.review_pairs:review_pairs", "Accept or reject real pairs by eye."),
    "export": ("flows.cli.export:export", "Write the dataset for other tools."),
    "train": ("flows.cli.train:train", "Show or run a training stage."),
    "evaluate": ("flows.cli.evaluate:evaluate", "Score predictions against references."),
    "register": ("flows.cli.registry:register", "Register the trained model, and gate it."),
    "review": ("flows.cli.registry:review", "Show the versions that wait for a decision."),
    "approve": ("flows.cli.registry:approve", "Make a gated version the champion."),
    "reject": ("flows.cli.registry:reject", "Reject a version, with the reason."),
    "rollback": ("flows.cli.registry:rollback", "Make the previous champion the champion again."),
    "leaderboard": ("flows.cli.registry:leaderboard", "Show versions and teachers by task."),
    "profile": ("flows.cli.profile:profile", "Write a profile's settings to params.yaml."),
    "trace": ("flows.cli.trace:trace", "Follow an image to the datasets and models that saw it."),
}
"""Name of a command to (module:function, one line of help)."""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the lifecycle."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module, function = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), function)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a command; the error for an unknown name has the nearest one."""
        near = difflib.get_close_matches(args[0], COMMANDS, n=1)
        if args[0] not in COMMANDS and near:
            ctx.fail(f"No such command '{args[0]}'. Did you mean {near[0]}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mendline")
def mendline() -> None:
    """The open lifecycle for real-world image restoration."""


def main(arguments: list[str] | None = None) -> Any:
    """Entry point: errors of the user's making end in two sentences and status 1."""
    with said_plainly():
        return mendline.main(args=arguments, prog_name="mendline")
