"""Judge throughput: a random Qwen3-VL in batches of several sizes, and an API server asked at once.

    python -m benchmarks.judge_throughput server            # any machine
    python -m benchmarks.judge_throughput model --tiny      # the same code on a CPU
    python -m benchmarks.judge_throughput model             # 8B shape, random weights, one GPU

`server` asks a local OpenAI-compatible server that answers every request after the same time, one
request at a time and many at once: what the client makes of a server that can batch. `model` builds
a Qwen3-VL of 8B's shape on the device, with random weights and a tokenizer of bytes (so the
question is about three times as many tokens as in earnest, and no answer ends before its 32
tokens), and judges images in batches of 1 and more, in turns. Each prints a line of JSON.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from catalog.degradations import Degradation
from networks.judges.vlm.prompts import question
from networks.judges.vlm.protocol import prepare

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
TINY: dict[str, dict[str, Any]] = {
    "text": {
        "vocab_size": 263,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "mrope_section": [4, 2, 2],
    },
    "vision": {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "out_hidden_size": 32,
        "deepstack_visual_indexes": [0],
        "num_position_embeddings": 256,
    },
}
EIGHT_B: dict[str, dict[str, Any]] = {
    "text": {
        "vocab_size": 151936,
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "mrope_section": [24, 20, 20],
    },
    "vision": {
        "depth": 27,
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_heads": 16,
        "out_hidden_size": 4096,
        "deepstack_visual_indexes": [8, 16, 24],
        "num_position_embeddings": 2304,
    },
}
"""Qwen/Qwen3-VL-8B-Instruct, config.json."""


def random_model(shape: dict[str, dict[str, Any]], device: str = "cpu") -> Any:
    """A Qwen3-VL of `shape` with random weights (seed 0); float32 on a CPU, bfloat16 elsewhere."""
    import torch
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    text = dict(shape["text"])
    rope = {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "mrope_section": text.pop("mrope_section"),
        "mrope_interleaved": True,
    }
    config = Qwen3VLConfig(
        text_config=text | {"rope_parameters": rope, "pad_token_id": 0, "eos_token_id": 2},
        vision_config=shape["vision"],
        image_token_id=5,
        video_token_id=6,
        vision_start_token_id=3,
        vision_end_token_id=4,
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32 if device == "cpu" else torch.bfloat16)
    try:
        with torch.device(device):
            model = Qwen3VLForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    model.generation_config.eos_token_id = 2
    model.generation_config.pad_token_id = 0
    return model


def random_checkpoint(place: Path, shape: dict[str, dict[str, Any]]) -> None:
    """Save a Qwen3-VL of `shape` with random weights (seed 0), and its processor, to `place`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        PreTrainedTokenizerFast,
        Qwen2VLImageProcessor,
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
    random_model(shape).save_pretrained(place)
    options = {"patch_size": 16, "merge_size": 2, "temporal_patch_size": 2}
    Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(**options),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(**options),
        chat_template=TEMPLATE,
    ).save_pretrained(place)


def images(count: int) -> list[np.ndarray]:
    """Noise of a common size, 720 x 960."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (720, 960, 3), dtype=np.uint8) for _ in range(count)]


def measure_model(shape: dict[str, Any], sizes: list[int], count: int, rounds: int) -> dict:
    """Images a second in batches of each of `sizes`, median of `rounds` taken in turns.

    Of each size at most four batches of the `count` images are judged.
    """
    import torch

    from networks.judges.vlm.qwen import Qwen3VlJudge

    device = "cuda" if torch.cuda.is_available() else "cpu"
    prepared = [prepare(image) for image in images(count)]
    asked = question("released", Degradation.HAZE)
    with tempfile.TemporaryDirectory() as folder:
        random_checkpoint(Path(folder), TINY)
        judge = Qwen3VlJudge(Path(folder))
    # Only sizes differ: a file of 16 GB would be written and read for nothing.
    judge.model = random_model(shape, device).eval()
    rates: dict[int, list[float]] = {size: [] for size in sizes}
    for turn in range(rounds + 1):
        for size in sizes:
            judge.batch_size = size
            few = prepared[: 4 * size if turn else size]  # the first turn warms up
            started = time.perf_counter()
            judge.ask(few, asked)
            if turn:
                rates[size].append(len(few) / (time.perf_counter() - started))
    found = {str(size): round(statistics.median(values), 3) for size, values in rates.items()}
    parameters = sum(p.numel() for p in judge.model.parameters())
    return {
        "what": "model",
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "parameters": parameters,
        "images_per_s_by_batch": found,
        "ratio_to_one_at_a_time": {
            size: round(rate / found[str(sizes[0])], 2) for size, rate in found.items()
        },
    }


def measure_server(delay_s: float, levels: list[int], count: int, rounds: int) -> dict:
    """Images a second at each number of requests under way, median of `rounds` in turns."""
    from networks.judges.vlm.server import Patience, ServerJudge
    from tests.evaluation.judge_server import JudgeServer, serving

    prepared = [prepare(image) for image in images(min(count, 16))] * (count // min(count, 16))
    asked = question("released", Degradation.HAZE)
    rates: dict[int, list[float]] = {level: [] for level in levels}
    cpu: dict[int, list[float]] = {level: [] for level in levels}
    with serving(JudgeServer(lambda pixels, number: "退化分数：3", delay_s)) as server:
        for turn in range(rounds + 1):
            for level in levels:
                judge = ServerJudge(server.url, "m", patience=Patience(concurrency=level))
                started, used = time.perf_counter(), time.process_time()
                replies = judge.ask(prepared, asked)
                assert all(reply.text for reply in replies), replies[0]
                if turn:
                    rates[level].append(len(prepared) / (time.perf_counter() - started))
                    cpu[level].append((time.process_time() - used) / len(prepared))
    found = {level: statistics.median(values) for level, values in rates.items()}
    return {
        "what": "server",
        "answers_after_s": delay_s,
        "images_per_s_by_concurrency": {k: round(v, 2) for k, v in found.items()},
        "ratio_to_one_at_a_time": {k: round(v / found[levels[0]], 2) for k, v in found.items()},
        "cpu_s_an_image_client_and_server": {
            k: round(statistics.median(v), 4) for k, v in cpu.items()
        },
    }


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["server", "model"])
    parser.add_argument("--tiny", action="store_true", help="a tiny model, for a CPU")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--delay", type=float, default=0.25, help="seconds to an answer")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.what == "server":
        found = measure_server(given.delay, given.concurrency, given.images, given.rounds)
    else:
        shape = TINY if given.tiny else EIGHT_B
        found = measure_model(shape, given.batches, given.images, given.rounds)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
