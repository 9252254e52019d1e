"""Step1X-Edit: against an independent forward pass, published layouts, and worked-out numbers."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file, save_file

from catalog.errors import UserError
from networks.step1x import text
from networks.step1x.checkpoint import load_checkpoint, published_state, save_checkpoint
from networks.step1x.config import Step1XConfig
from networks.step1x.connector import Connector, attention_mask
from networks.step1x.guidance import guide
from networks.step1x.keys import from_diffusers, to_diffusers
from networks.step1x.latents import (
    denormalise,
    normalise,
    pack,
    position_ids,
    shift_mu,
    timesteps,
    unpack,
)
from networks.step1x.model import Step1XTransformer
from tests.networks.step1x import reference

Version = Literal["v1.0", "v1.1"]
SIZE = (4, 6)


def build(version: Version = "v1.1", seed: int = 0) -> Step1XTransformer:
    """A debug-sized model with every weight random, gates and scales included."""
    torch.manual_seed(seed)
    model = Step1XTransformer(Step1XConfig.debug(version)).double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = 0.5 if "norm" in name or "scale" in name else 0.15
            parameter.normal_(1.0 if "norm" in name and "weight" in name else 0.0, spread)
    return model


def inputs(tokens: int = 7) -> dict[str, object]:
    generator = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    mask = torch.ones(2, tokens, dtype=torch.bool)
    mask[0, 4:] = False
    return {
        "noisy": normal(2, 6, 64),
        "reference": normal(2, 6, 64),
        "size": SIZE,
        "t": torch.tensor([0.31, 0.94], dtype=torch.float64),
        "states": normal(2, tokens, 24),
        "mask": mask,
    }


@pytest.mark.parametrize("version", ["v1.0", "v1.1"])
def test_the_forward_pass_is_that_of_the_equations(version: Version) -> None:
    model, given = build(version), inputs()
    weights = {name: value.detach() for name, value in published_state(model).items()}
    states, mask, t = given["states"], given["mask"], given["t"]
    with torch.no_grad():
        out = model(**given)  # type: ignore[arg-type]
        tokens, pooled = reference.connector(weights, states, t, mask, 2, 2)  # type: ignore[arg-type]
        own = model.connector(states, t, mask)
        ids = position_ids(7, *SIZE, 0 if version == "v1.0" else 1)
        image = torch.cat([given["noisy"], given["reference"]], dim=1)  # type: ignore[list-item]
        expected = reference.flux(weights, image, tokens, pooled, t, ids, 2, (4, 14, 14))  # type: ignore[arg-type]
    assert torch.allclose(own[0], tokens, rtol=1e-9, atol=1e-9)
    assert torch.allclose(own[1], pooled, rtol=1e-9, atol=1e-9)
    # RoPE tables are float32 in diffusers unless asked otherwise; all else is float64.
    error = (out - expected[:, :6]).norm() / expected[:, :6].norm()
    assert error < 1e-6


def slopes(
    module: torch.nn.Module, names: set[str], step: float, run: Callable[[], torch.Tensor]
) -> dict[str, tuple[float, float]]:
    """By parameter: the slope along a random direction from autograd, and by differences."""
    parameters = {k: v for k, v in module.named_parameters() if k in names}
    assert parameters.keys() == names
    run().backward()
    found = {}
    for name, parameter in parameters.items():
        direction = torch.randn_like(parameter)
        assert parameter.grad is not None
        slope = float((parameter.grad * direction).sum())
        with torch.no_grad():
            values = []
            for sign in (1, -2):
                parameter += sign * step * direction
                values.append(float(run()))
            parameter += step * direction
        found[name] = slope, (values[0] - values[1]) / (2 * step)
    return found


def test_gradients_of_the_connector_agree_with_differences_in_float64() -> None:
    model, given = build("v1.0"), inputs()
    states, mask, t = given["states"], given["mask"], given["t"]

    def run() -> torch.Tensor:
        tokens, pooled = model.connector(states, t, mask)
        return tokens.sin().sum() + pooled.sin().sum()

    names = {
        "S.t_embedder.mlp.0.weight",
        "S.c_embedder.linear_2.weight",
        "S.individual_token_refiner.blocks.0.self_attn_qkv.weight",
        "S.individual_token_refiner.blocks.1.adaLN_modulation.1.weight",
        "global_proj_out.weight",
        "scale_factor",
    }
    for name, (slope, difference) in slopes(model.connector, names, 1e-5, run).items():
        assert slope == pytest.approx(difference, rel=1e-5, abs=1e-7), name


def test_gradients_reach_the_whole_model() -> None:
    model, given = build(), inputs()
    names = {
        "connector.S.input_embedder.weight",
        "connector.global_proj_out.weight",
        "transformer.x_embedder.weight",
        "transformer.single_transformer_blocks.3.attn.to_q.weight",
    }
    # diffusers rotates queries and keys in float32, which bounds the precision.
    found = slopes(model, names, 1e-4, lambda: model(**given).sin().sum())  # type: ignore[arg-type]
    for name, (slope, difference) in found.items():
        assert slope == pytest.approx(difference, rel=5e-3, abs=5e-3), name


def test_the_released_sizes_are_12_43_billion_parameters() -> None:
    with torch.device("meta"):
        model = Step1XTransformer(Step1XConfig())
    count = {
        part: sum(p.numel() for p in getattr(model, part).parameters())
        for part in ("connector", "transformer")
    }
    assert count["connector"] / 1e6 == pytest.approx(537, abs=0.5)
    assert count["transformer"] / 1e9 == pytest.approx(11.89, abs=0.01)
    assert sum(count.values()) / 1e9 == pytest.approx(12.43, abs=0.005)


def test_padding_does_not_reach_the_real_tokens_of_the_connector() -> None:
    model, given = build(), inputs()
    states, mask, t = given["states"], given["mask"], given["t"]
    changed = states.clone()  # type: ignore[attr-defined]
    changed[0, 4:] += 100
    with torch.no_grad():
        one, two = model.connector(states, t, mask), model.connector(changed, t, mask)
    assert torch.equal(one[1], two[1])
    assert torch.equal(one[0][0, :4], two[0][0, :4])
    assert not torch.allclose(one[0][0, 4:], two[0][0, 4:])
    allowed = attention_mask(torch.tensor([[True, True, False]]))[0, 0]
    assert allowed.tolist() == [[True, True, False], [True, True, False], [True, False, False]]


def test_only_v1_0_scales_the_pooled_mean() -> None:
    assert Connector(Step1XConfig.debug("v1.1")).scale_factor is None
    scale = Connector(Step1XConfig.debug("v1.0")).scale_factor
    assert scale is not None
    assert scale.item() == pytest.approx(-(1 - 0.09))


def test_the_pooled_output_is_a_tenth_of_the_mean_in_v1_0() -> None:
    model = build("v1.0")
    states = torch.ones(1, 3, 24, dtype=torch.float64)
    mask = torch.ones(1, 3, dtype=torch.bool)
    with torch.no_grad():
        assert model.connector.scale_factor is not None
        model.connector.scale_factor.fill_(-0.91)
        pooled = model.connector(states, torch.zeros(1), mask)[1]
        expected = model.connector.global_proj_out(states.mean(1) * 0.09)
    assert torch.allclose(pooled, expected)


def test_position_ids() -> None:
    ids = position_ids(2, 4, 6, reference_axis=1)
    assert ids.shape == (2 + 2 * 6, 3)
    assert ids[:2].tolist() == [[0, 0, 0]] * 2
    assert ids[2:8].tolist() == [[0, y, x] for y in range(2) for x in range(3)]
    assert ids[8:].tolist() == [[1, y, x] for y in range(2) for x in range(3)]
    assert position_ids(2, 4, 6, reference_axis=0)[8:, 0].unique().tolist() == [0]


def test_the_shift_is_linear_in_the_tokens() -> None:
    assert shift_mu(256) == pytest.approx(0.5)
    assert shift_mu(4096) == pytest.approx(1.15)
    assert shift_mu(2176) == pytest.approx(0.825)
    times = timesteps(28, 4096)
    assert times[0] == 1
    assert times[-1] == 0
    assert len(times) == 29
    half = math.exp(1.15) / (math.exp(1.15) + 1)
    assert times[14].item() == pytest.approx(half)


def test_the_times_are_those_of_diffusers_scheduler() -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    sigmas = torch.linspace(1, 1 / 28, 28).tolist()
    scheduler.set_timesteps(sigmas=sigmas, mu=shift_mu(4096))
    own = timesteps(28, 4096)
    assert torch.allclose(scheduler.sigmas, own, atol=1e-6)


def test_latents_pack_and_scale() -> None:
    z = torch.arange(2 * 16 * 4 * 6, dtype=torch.float32).reshape(2, 16, 4, 6)
    tokens = pack(z)
    assert tokens.shape == (2, 6, 64)
    # The first token is the top left 2 x 2 of each channel, channel by channel.
    assert tokens[0, 0, :8].tolist() == [0, 1, 6, 7, 24, 25, 30, 31]
    assert torch.equal(unpack(tokens, 4, 6), z)
    assert normalise(torch.tensor(0.1159)) == pytest.approx(0, abs=1e-7)
    assert normalise(torch.tensor(1.1159)) == pytest.approx(0.3611, abs=1e-6)
    assert torch.allclose(denormalise(normalise(z)), z, atol=1e-4)


def test_states_lose_the_template_and_are_padded_to_640() -> None:
    states = torch.arange(300.0)[:, None].repeat(1, 2)
    padded, mask = text.trim_and_pad(states)
    assert padded.shape == (640, 2)
    assert mask.sum() == 300 - 217
    assert padded[0, 0] == 217
    assert padded[82, 0] == 299
    assert (padded[83:] == 0).all()
    long, mask = text.trim_and_pad(torch.arange(1000.0)[:, None])
    assert long[-1, 0] == 217 + 639
    assert mask.all()
    with pytest.raises(ValueError, match="no more than the template"):
        text.trim_and_pad(states[:217])


def test_guidance_divides_by_the_norm_only_near_noise() -> None:
    unconditional = torch.zeros(1, 2, 4)
    conditional = torch.tensor([[[3.0, 0, 4.0, 0], [0.3, 0, 0.4, 0]]])
    late = guide(conditional, unconditional, 0.93, 3.0)
    assert torch.allclose(late, 3 * conditional)
    early = guide(conditional, unconditional, 0.94, 3.0)
    assert torch.allclose(early[0, 0], 3 * conditional[0, 0] / 5**0.4)
    assert torch.allclose(early[0, 1], 3 * conditional[0, 1])  # norm 0.5 is left alone


PUBLISHED = {
    "img_in.weight": (64, 64),
    "time_in.in_layer.weight": (64, 256),
    "vector_in.out_layer.bias": (64,),
    "txt_in.weight": (64, 32),
    "double_blocks.1.img_attn.norm.query_norm.scale": (32,),
    "double_blocks.0.txt_attn.qkv.weight": (192, 64),
    "double_blocks.0.img_mlp.2.weight": (64, 256),
    "single_blocks.3.linear1.weight": (3 * 64 + 256, 64),
    "single_blocks.0.linear2.weight": (64, 64 + 256),
    "single_blocks.0.modulation.lin.bias": (192,),
    "single_blocks.0.norm.key_norm.scale": (32,),
    "final_layer.adaLN_modulation.1.weight": (128, 64),
    "final_layer.linear.weight": (64, 64),
    "connector.S.individual_token_refiner.blocks.0.self_attn_qkv.weight": (96, 32),
    "connector.S.individual_token_refiner.blocks.1.mlp.fc1.weight": (128, 32),
    "connector.S.t_embedder.mlp.2.weight": (32, 32),
    "connector.S.c_embedder.linear_1.weight": (32, 24),
    "connector.S.input_embedder.weight": (32, 24),
    "connector.global_proj_out.weight": (16, 24),
}


@pytest.mark.parametrize("version", ["v1.0", "v1.1"])
def test_names_and_shapes_are_those_of_the_published_files(version: Version) -> None:
    state = published_state(build(version))
    for name, shape in PUBLISHED.items():
        assert tuple(state[name].shape) == shape, name
    assert ("connector.scale_factor" in state) == (version == "v1.0")
    tops = {name.split(".")[0] for name in state}
    assert tops == {
        "img_in",
        "time_in",
        "vector_in",
        "txt_in",
        "double_blocks",
        "single_blocks",
        "final_layer",
        "connector",
    }


def test_names_go_to_diffusers_and_back_bit_for_bit() -> None:
    model = build()
    inner = model.transformer.state_dict()
    there = from_diffusers(inner)
    back = to_diffusers(there)
    assert back.keys() == inner.keys()
    assert all(torch.equal(back[name], inner[name]) for name in inner)
    with pytest.raises(KeyError, match="unheard"):
        to_diffusers({**there, "unheard.weight": torch.zeros(1)})


@pytest.mark.parametrize("layout", ["single-file", "nested"])
@pytest.mark.parametrize("version", ["v1.0", "v1.1"])
def test_a_checkpoint_comes_back_key_for_key_and_dtype_for_dtype(
    tmp_path: Path, layout: Literal["single-file", "nested"], version: Version
) -> None:
    state = {
        name: value.to(torch.bfloat16 if name.startswith("double") else torch.float32)
        for name, value in published_state(build(version)).items()
    }
    state["mask_token"] = torch.ones(3)
    prefix = "inner_model." if layout == "nested" else ""
    save_file({prefix + k: v.contiguous() for k, v in state.items()}, tmp_path / "a.safetensors")
    model, extra = load_checkpoint(tmp_path / "a.safetensors", Step1XConfig.debug(version))
    assert set(extra) == {"mask_token"}
    save_checkpoint(model, tmp_path / "b.safetensors", layout, extra)
    one, two = (load_file(tmp_path / f"{name}.safetensors") for name in "ab")
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert value.dtype == two[name].dtype, name
        assert torch.equal(value, two[name]), name


def test_a_checkpoint_that_does_not_fit_is_refused_by_published_names(tmp_path: Path) -> None:
    state = published_state(build("v1.0"))
    path = tmp_path / "x.safetensors"
    del state["txt_in.bias"]
    state["final_layer.linear.bias"] = torch.zeros(3)
    save_file({k: v.contiguous() for k, v in state.items()}, path)
    with pytest.raises(UserError) as caught:
        load_checkpoint(path, Step1XConfig.debug("v1.1"))
    for fault in (
        "txt_in.bias is missing",
        "connector.scale_factor is not of this model",
        "final_layer.linear.bias has shape [3] instead of [64]",
    ):
        assert fault in caught.value.what
    with pytest.raises(UserError, match=re.escape("is a pickle")):
        load_checkpoint(tmp_path / "x.pt")
    path.write_bytes(b"not a file of weights")
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        load_checkpoint(path)
