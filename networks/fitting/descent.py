"""Steps of a training: its plan, the learning rate, the running average."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class ScenePlan:
    """What decides a training on scenes that are made as it goes."""

    seed: int
    steps: int
    cooldown: float
    """Of the steps, at the end, in which the learning rate falls to nothing in a line."""
    warmup: int
    batch: int
    """Scenes of a step."""
    fresh: int
    """Scenes of a batch that are new; the others come from the last `kept`, seen otherwise."""
    kept: int
    learning_rate: float
    average: float
    """Kept of the running average of the weights, which is what is saved, at each step."""

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        return self.learning_rate * held(step, self.steps, self.warmup, self.cooldown)


def descend(
    loss: torch.Tensor,
    net: torch.nn.Module,
    average: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    plan: ScenePlan,
    step: int,
) -> None:
    """One step of `optimizer` down the loss, and of the running average after it.

    A group of the optimizer may have a "scale", by which its learning rate is another.
    """
    for group in optimizer.param_groups:
        group["lr"] = plan.rate(step) * group.get("scale", 1.0)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
    optimizer.step()
    follow(average, net, min(plan.average, (step + 1) / (step + 20)))


def held(step: int, steps: int, warmup: int, cooldown: float) -> float:
    """Share of the learning rate at a step, 0 .. 1.

    It rises over `warmup` steps, stays, and falls in a line over the last `cooldown` (a share) of
    the `steps`.
    """
    return min(1.0, (step + 1) / warmup, (steps - step) / (steps * cooldown))


@torch.no_grad()
def follow(average: torch.nn.Module, net: torch.nn.Module, kept: float) -> None:
    """Move the running average of the weights towards `net`'s, keeping the share `kept` of it."""
    pairs = list(zip(average.state_dict().values(), net.state_dict().values(), strict=True))
    moved = [pair for pair in pairs if pair[0].is_floating_point()]
    means, values = map(list, zip(*moved, strict=True))
    torch._foreach_lerp_(means, values, 1 - kept)  # one launch on a GPU, not one a tensor
    for mean, now in pairs:
        if not mean.is_floating_point():
            mean.copy_(now)
