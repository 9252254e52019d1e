"""The small DiT: patches, RoPE, the identity at the start, both references and predictions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from catalog.settings.training import Architecture
from networks.student import flow, rope
from networks.student.model import NO_INSTRUCTION, StudentDiT, time_features
from networks.student.patches import patchify, to_image, to_tensor, unpatchify

SMALL = {
    "width": 32,
    "heads": 2,
    "double_blocks": 1,
    "single_blocks": 2,
    "patch": 4,
    "tile": 32,
    "overlap": 8,
}


def build(**changes: object) -> StudentDiT:
    """A small network whose last layer is not zero."""
    torch.manual_seed(0)
    model = StudentDiT(Architecture.model_validate({**SMALL, **changes})).eval()
    last = model.final_layer if model.refiner is None else model.refiner.out
    nn.init.normal_(last.weight, std=0.1)
    return model


def inputs(size: int = 16) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    noise, reference = (torch.randn(2, 3, size, size, generator=generator) for _ in range(2))
    return noise, reference, torch.tensor([0.2, 0.9]), torch.tensor([0, 5])


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers(1, 4))
@settings(deadline=None, max_examples=30)
def test_patches_come_back(patch: int, rows: int, columns: int, channels: int) -> None:
    pixels = torch.randn(2, channels, rows * patch, columns * patch)
    tokens = patchify(pixels, patch)
    assert tokens.shape == (2, rows * columns, channels * patch * patch)
    assert torch.equal(unpatchify(tokens, patch, rows * patch, columns * patch), pixels)
    # The second token is the patch right of the first.
    if columns > 1:
        assert torch.equal(tokens[0, 1], pixels[0, :, :patch, patch : 2 * patch].reshape(-1))


def test_every_pixel_value_comes_back() -> None:
    values = torch.arange(256, dtype=torch.uint8).reshape(16, 16, 1).repeat(1, 1, 3).numpy()
    assert (to_image(to_tensor(values)) == values).all()


def test_time_features_are_those_of_flux() -> None:
    features = time_features(torch.tensor([0.25]))[0]
    assert features[0] == pytest.approx(math.cos(250.0), abs=1e-4)
    assert features[128] == pytest.approx(math.sin(250.0), abs=1e-4)
    assert features[64] == pytest.approx(math.cos(2.5), abs=1e-5)  # 10000^-0.5 = 0.01


def test_rope_positions_have_the_reference_on_its_own_axis() -> None:
    position = rope.positions(1, 2, 3)
    assert position.tolist() == [[1, y, x] for y in range(2) for x in range(3)]


@pytest.mark.parametrize("head_width", [8, 16, 24, 32, 40, 64, 128])
def test_rope_axes_are_even_and_fill_the_head(head_width: int) -> None:
    widths = rope.axis_widths(head_width)
    assert sum(widths) == head_width
    assert all(width % 2 == 0 and width > 0 for width in widths)
    if head_width == 128:
        assert widths == (16, 56, 56)


def test_rotated_products_depend_on_the_distance_alone() -> None:
    widths = rope.axis_widths(32)
    query, key = torch.randn(2, 1, 1, 1, 32, dtype=torch.float64)

    def product(a: list[float], b: list[float]) -> float:
        one, two = (rope.rotations(torch.tensor([place]), widths) for place in (a, b))
        return float((rope.rotate(query, one) * rope.rotate(key, two)).sum())

    assert product([0, 3, 5], [0, 7, 4]) == pytest.approx(product([1, 13, 25], [1, 17, 24]))
    assert product([0, 3, 5], [0, 7, 4]) != pytest.approx(product([0, 3, 5], [1, 7, 4]))


@pytest.mark.parametrize("steps", [1, 3])
def test_an_untrained_residual_model_changes_nothing(steps: int) -> None:
    model = StudentDiT(Architecture.model_validate({**SMALL, "prediction": "residual"}))
    noise, reference, _, instruction = inputs()
    restored = flow.sample(model, reference, instruction, noise, steps)
    assert torch.allclose(restored, reference, atol=1e-6)


@pytest.mark.parametrize("reference", ["channels", "in-context"])
@pytest.mark.parametrize("prediction", ["velocity", "residual"])
@pytest.mark.parametrize("refiner", [0, 8])
def test_the_output_depends_on_each_input(reference: str, prediction: str, refiner: int) -> None:
    model = build(reference=reference, prediction=prediction, refiner=refiner)
    given_inputs = inputs()
    with torch.no_grad():
        out = model(*given_inputs)
        assert out.shape == (2, 3, 16, 16)
        others = (given_inputs[0] + 1, given_inputs[1] + 1, given_inputs[2] / 2)
        for place, other in enumerate((*others, torch.tensor([NO_INSTRUCTION, 4]))):
            changed = list(given_inputs)
            changed[place] = other
            assert not torch.allclose(model(*changed), out, atol=1e-4), place


def test_pure_noise_is_not_looked_at_where_the_clean_image_is_predicted() -> None:
    noise, reference, _, instruction = inputs()
    with torch.no_grad():
        for prediction in ("residual", "velocity"):
            model = build(prediction=prediction, refiner=8)
            out = [model(x, reference, torch.ones(2), instruction) for x in (noise, noise + 1)]
            assert torch.equal(*out) == (prediction == "residual")


@pytest.mark.parametrize("patch", [4, 8, 16])
def test_the_refiner_carries_detail_that_the_tokens_lack(patch: int) -> None:
    model = build(patch=patch, refiner=8)
    assert model.refiner is not None
    for name, parameter in model.refiner.named_parameters():
        if name.startswith("from_tokens"):
            nn.init.zeros_(parameter)  # what the tokens say is cut off
        elif name.endswith("second.weight"):
            nn.init.normal_(parameter, std=0.1)
    noise, reference, t, instruction = inputs(2 * patch)
    moved = reference.clone()
    moved[:, :, 0, 0] += 1
    with torch.no_grad():
        difference = model(noise, moved, t, instruction) - model(noise, reference, t, instruction)
    assert difference[:, :, :4, :4].abs().max() > 1e-3


def test_a_refiner_needs_a_patch_that_halves() -> None:
    with pytest.raises(ValidationError, match="patch 6 must be 4, 8, 16"):
        Architecture.model_validate({**SMALL, "patch": 6, "tile": 36, "refiner": 8})


def test_a_batch_is_its_samples_one_by_one() -> None:
    model = build()
    with torch.no_grad():
        together = model(*inputs())
        alone = torch.cat([model(*(x[i : i + 1] for x in inputs())) for i in range(2)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_gradients_agree_with_differences_in_float64() -> None:
    model = build(width=16, heads=1, single_blocks=1, patch=4).double()
    noise, reference, t, instruction = inputs(8)

    def run(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        # The output is float32 by contract; the check needs the tokens in float64.
        tokens: list[torch.Tensor] = []
        hook = model.final_layer.register_forward_hook(lambda _, __, out: tokens.append(out))
        model(x, y, t, instruction)
        hook.remove()
        return tokens[0]

    # Time features and RoPE tables are float32; they are constants of the check.
    model.time_in.register_forward_pre_hook(lambda _, args: (args[0].double(),))
    pixels = [x.double()[:1, :, :4, :4].requires_grad_() for x in (noise, reference)]
    t, instruction = t[:1], instruction[:1]
    assert torch.autograd.gradcheck(run, pixels, atol=1e-6)


@pytest.mark.parametrize("refiner", [0, 8])
@pytest.mark.parametrize("reference", ["channels", "in-context"])
def test_the_stated_flops_are_those_that_run(reference: str, refiner: int) -> None:
    model = build(reference=reference, width=64, heads=2, refiner=refiner)
    pixels = torch.randn(1, 3, 64, 64)
    # The counter does not know the fused attention of the CPU.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        model(pixels, pixels, torch.rand(1), torch.tensor([0]))
    # The conditioning vector's products are left out of the estimate.
    assert model.flops(64, 64) == pytest.approx(counter.get_total_flops(), rel=0.1)


@pytest.mark.parametrize("prediction", ["velocity", "residual"])
def test_the_estimates_recover_a_known_path(prediction: str) -> None:
    noise, clean, t, _ = inputs()
    reference = clean + 0.3
    x_t = flow.noisy(clean, noise, t)
    exact = noise - clean if prediction == "velocity" else clean - reference
    args = (exact, prediction, x_t, reference, t)
    assert torch.allclose(flow.clean_estimate(*args), clean, atol=1e-5)  # type: ignore[arg-type]
    assert torch.allclose(
        flow.velocity_estimate(*args),
        noise - clean,
        atol=1e-4,  # type: ignore[arg-type]
    )
