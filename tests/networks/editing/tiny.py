"""Tiny random editing models in folders, in the layouts of the published ones."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from networks.step1x import vae_keys
from networks.step1x.checkpoint import published_state
from networks.step1x.config import Step1XConfig
from networks.step1x.editor import NESTED
from networks.step1x.model import Step1XTransformer
from networks.step1x.prompt import PREAMBLE

SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
TEMPLATE = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}"
    "{% if c.type == 'image' %}{% if add_vision_id %}Picture 1: {% endif %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ c.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer() -> Any:
    """Pairs of bytes learned from the preamble, so that it is about as long as it really is."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learned.decoder = decoders.ByteLevel()
    learned.train_from_iterator(
        [PREAMBLE],
        trainers.BpeTrainer(
            vocab_size=500,
            special_tokens=["!", *SPECIAL],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=learned,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=SPECIAL,
    )


def qwen(folder: Path, width: int, processor: Path, template: str = TEMPLATE) -> None:
    """A random Qwen2.5-VL and its processor."""
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    words = tokenizer()
    ids = dict(zip(SPECIAL, words.convert_tokens_to_ids(SPECIAL), strict=True))
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(words),
            "hidden_size": width,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [width // 4 - 2 * (width // 12), width // 12, width // 12],
            },
            "pad_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": width,
            "fullatt_block_indexes": [1],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    torch.manual_seed(1)
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)
    sizes = {"patch_size": 14, "merge_size": 2, "temporal_patch_size": 2}
    Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**sizes),
        tokenizer=words,
        video_processor=Qwen2VLVideoProcessor(**sizes),
        chat_template=template,
    ).save_pretrained(processor)


def autoencoder() -> dict[str, torch.Tensor]:
    """A random FLUX autoencoder of 32 and 64 channels under its published names."""
    from diffusers import AutoencoderKL

    torch.manual_seed(2)
    channels = (32, 64, 64, 64)
    vae: Any = AutoencoderKL(
        block_out_channels=channels,
        layers_per_block=1,
        latent_channels=16,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    names = vae_keys.published_names(4, 1, channels)
    return {k: v.contiguous() for k, v in vae_keys.from_diffusers(vae.state_dict(), names).items()}


def transformer(version: str = "v1.1", seed: int = 0) -> dict[str, torch.Tensor]:
    """Published weights of a debug-sized Step1X-Edit: bf16, norms in float32, a mask token."""
    torch.manual_seed(seed)
    model = Step1XTransformer(Step1XConfig.debug(version))  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
        # So that instructions matter more than they do by chance.
        for name, factor in (
            ("connector.global_proj_out.weight", 40),
            ("transformer.context_embedder.weight", 8),
            ("transformer.time_text_embed.text_embedder.linear_2.weight", 8),
            ("transformer.proj_out.weight", 4),
        ):
            model.get_parameter(name).mul_(factor)
    state = {
        name: value.to(torch.float32 if "norm" in name else torch.bfloat16).contiguous()
        for name, value in published_state(model).items()
    }
    return {name: value.detach() for name, value in state.items()} | {"mask_token": torch.ones(2)}


def single_files(folder: Path, version: str = "v1.1", seed: int = 0) -> Path:
    """The layout of Step1X-Edit's repository."""
    folder.mkdir(parents=True)
    save_file(transformer(version, seed), folder / "step1x-edit-i1258.safetensors")
    save_file(autoencoder(), folder / "vae.safetensors")
    place = folder / "Qwen2.5-VL-7B-Instruct"
    qwen(place, 24, place)
    return folder


def bundle(folder: Path, version: str = "v1.1", seed: int = 0) -> Path:
    """The layout of RealRestorer's repository."""
    for part in ("transformer", "vae", "scheduler"):
        (folder / part).mkdir(parents=True)
    nested = {NESTED + name: value for name, value in transformer(version, seed).items()}
    save_file(nested, folder / "transformer" / "diffusion_pytorch_model.safetensors")
    save_file(
        {NESTED + name: value for name, value in autoencoder().items()},
        folder / "vae" / "diffusion_pytorch_model.safetensors",
    )
    qwen(folder / "text_encoder", 24, folder / "processor")
    (folder / "transformer" / "config.json").write_text(json.dumps({"version": version}))
    (folder / "vae" / "config.json").write_text("{}")
    (folder / "scheduler" / "scheduler_config.json").write_text("{}")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "RealRestorerPipeline"}))
    return folder


def kontext(folder: Path) -> Path:
    """A random FluxKontextPipeline."""
    from diffusers import (
        AutoencoderKL,
        FlowMatchEulerDiscreteScheduler,
        FluxKontextPipeline,
        FluxTransformer2DModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    torch.manual_seed(3)
    words = tokenizer()
    words.model_max_length = 77
    clip = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            projection_dim=16,
            eos_token_id=words.eos_token_id,
        )
    )
    t5 = T5EncoderModel(
        T5Config(vocab_size=len(words), d_model=16, d_ff=16, d_kv=8, num_layers=1, num_heads=2)
    )
    make: Any = FluxKontextPipeline
    make(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=AutoencoderKL(
            block_out_channels=(32, 32, 32, 32),
            layers_per_block=1,
            latent_channels=16,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            use_quant_conv=False,
            use_post_quant_conv=False,
            scaling_factor=0.3611,
            shift_factor=0.1159,
        ),
        text_encoder=clip,
        tokenizer=words,
        text_encoder_2=t5,
        tokenizer_2=tokenizer(),
        transformer=FluxTransformer2DModel(
            patch_size=1,
            in_channels=64,
            num_layers=1,
            num_single_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            pooled_projection_dim=16,
            guidance_embeds=True,
            axes_dims_rope=(4, 6, 6),
        ),
    ).save_pretrained(folder)
    return folder


def qwen_image(folder: Path) -> Path:
    """A random QwenImageEditPipeline."""
    from diffusers import (
        AutoencoderKLQwenImage,
        FlowMatchEulerDiscreteScheduler,
        QwenImageEditPipeline,
        QwenImageTransformer2DModel,
    )
    from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

    qwen(folder / "text_encoder", 24, folder / "processor")
    torch.manual_seed(4)
    make: Any = QwenImageEditPipeline
    make(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=AutoencoderKLQwenImage(
            base_dim=8,
            z_dim=16,
            dim_mult=[1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
        ),
        text_encoder=Qwen2_5_VLForConditionalGeneration.from_pretrained(folder / "text_encoder"),
        tokenizer=tokenizer(),
        processor=Qwen2_5_VLProcessor.from_pretrained(folder / "processor"),
        transformer=QwenImageTransformer2DModel(
            patch_size=2,
            in_channels=64,
            out_channels=16,
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=24,
            axes_dims_rope=(4, 6, 6),
        ),
    ).save_pretrained(folder)
    return folder
