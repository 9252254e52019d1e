"""The Qwen3-VL judge on a tiny random model that is built on the spot."""

from pathlib import Path

import numpy as np
import pytest

from catalog.degradations import Degradation
from catalog.errors import UserError
from networks.judges import load_judge
from networks.judges.vlm.cache import AnswerCache
from networks.judges.vlm.prompts import prompt_hash
from networks.judges.vlm.qwen import Qwen3VlJudge

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
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}"
    "{% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ c.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        PreTrainedTokenizerFast,
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*SPECIAL, *alphabet])}
    bytes_only = Tokenizer(models.BPE(vocabulary, []))
    bytes_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_only.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bytes_only,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=SPECIAL,
    )
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(vocabulary),
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [4, 2, 2],
                "mrope_interleaved": True,
            },
            "pad_token_id": 0,
            "eos_token_id": 2,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": 32,
            "deepstack_visual_indexes": [0],
            "num_position_embeddings": 256,
        },
        image_token_id=5,
        video_token_id=6,
        vision_start_token_id=3,
        vision_end_token_id=4,
    )
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("tiny-qwen3-vl")
    model = Qwen3VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = 2
    model.generation_config.pad_token_id = 0
    model.save_pretrained(place)
    options = {"patch_size": 16, "merge_size": 2, "temporal_patch_size": 2}
    Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(**options),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(**options),
        chat_template=TEMPLATE,
    ).save_pretrained(place)
    return place


def _images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = [(64, 64), (60, 120), (200, 90)]
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def test_a_tiny_random_model_is_asked_in_batches_and_fails_in_words(folder: Path) -> None:
    judge = Qwen3VlJudge(folder, batch_size=2)
    answers = judge.judge(_images(), Degradation.HAZE)
    assert len(answers) == 3
    for answer in answers:
        assert (answer.severity is None) == (answer.failure is not None)


def test_batching_does_not_change_an_answer(folder: Path) -> None:
    from networks.judges.vlm.prompts import question
    from networks.judges.vlm.protocol import prepare

    prepared = [prepare(image) for image in _images()]
    text = question("released", Degradation.HAZE)
    together = Qwen3VlJudge(folder, batch_size=3).ask(prepared, text)
    alone = Qwen3VlJudge(folder, batch_size=1).ask(prepared, text)
    assert together == alone
    assert any(reply.text for reply in alone)


def test_identity_names_weights_and_prompt(folder: Path) -> None:
    released, paper = Qwen3VlJudge(folder), Qwen3VlJudge(folder, "paper")
    assert released.identity.weights == paper.identity.weights != "none"
    assert released.identity.prompt == prompt_hash("released") != paper.identity.prompt


def test_what_is_in_the_cache_is_not_asked(folder: Path, tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "a.sqlite")
    judge = Qwen3VlJudge(folder, cache=cache)
    image = _images()[0]
    cache.put(AnswerCache.key(image, Degradation.RAIN, judge.identity), 2, "退化分数：2")
    (answer,) = judge.judge([image], Degradation.RAIN)
    assert answer.severity == 2.0


def test_a_folder_without_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(UserError, match="no Qwen3-VL model"):
        load_judge(f"qwen3-vl:{tmp_path}")
