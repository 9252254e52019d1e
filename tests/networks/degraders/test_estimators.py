"""Depth and segments by tiny random models, saved and loaded as a user's own would be."""

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from catalog.errors import UserError
from networks.degraders import load_degrader
from networks.degraders.estimators import TransformersDepth, TransformersSegments
from networks.degraders.sources import load_sources

PHOTO = np.ascontiguousarray(data.astronaut()[:90, :120])
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def depth_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DPT, the family that MiDaS 3 is of."""
    from transformers import DPTConfig, DPTForDepthEstimation, DPTImageProcessor

    folder = tmp_path_factory.mktemp("dpt")
    torch.manual_seed(0)
    config = DPTConfig(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=24,
        backbone_out_indices=[0, 1, 2, 3],
        image_size=32,
        patch_size=8,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        is_hybrid=False,
        head_in_index=-1,
    )
    model = DPTForDepthEstimation(config)
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.mul_(20)
        model.head.head[-2].bias.fill_(50.0)  # the last ReLU would cut all off at 0
    model.save_pretrained(folder)
    DPTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def segment_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SegFormer."""
    from transformers import (
        SegformerConfig,
        SegformerForSemanticSegmentation,
        SegformerImageProcessor,
    )

    folder = tmp_path_factory.mktemp("segformer")
    torch.manual_seed(0)
    config = SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[4, 2],
        hidden_sizes=[8, 16],
        patch_sizes=[7, 3],
        strides=[4, 2],
        num_attention_heads=[1, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=16,
        num_labels=5,
    )
    SegformerForSemanticSegmentation(config).save_pretrained(folder)
    SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def mask_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SAM, prompted by points as SAM 2 is."""
    from transformers import (
        SamConfig,
        SamImageProcessor,
        SamMaskDecoderConfig,
        SamModel,
        SamPromptEncoderConfig,
        SamVisionConfig,
    )

    folder = tmp_path_factory.mktemp("sam")
    torch.manual_seed(0)
    vision = SamVisionConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=64,
        patch_size=8,
        output_channels=16,
        num_pos_feats=8,
        global_attn_indexes=[0],
        window_size=4,
        mlp_dim=16,
    )
    prompt = SamPromptEncoderConfig(
        hidden_size=16, image_size=64, patch_size=8, mask_input_channels=4
    )
    decoder = SamMaskDecoderConfig(
        hidden_size=16,
        mlp_dim=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        iou_head_hidden_dim=16,
    )
    config = SamConfig(
        vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder
    )
    SamModel(config).save_pretrained(folder)
    SamImageProcessor(
        size={"longest_edge": 64},
        pad_size={"height": 64, "width": 64},
        mask_size={"longest_edge": 16},
        mask_pad_size={"height": 16, "width": 16},
    ).save_pretrained(folder)
    return folder


def test_depth_comes_from_the_named_model(depth_folder: Path) -> None:
    depth = TransformersDepth(depth_folder).depth(PHOTO, RNG)
    assert depth.shape == PHOTO.shape[:2]
    assert depth.dtype == np.float32
    assert depth.min() == pytest.approx(0, abs=0.02)
    assert depth.max() == pytest.approx(1, abs=0.02)

    sources = load_sources(depth=f"transformers:{depth_folder}")
    by_model, usual = load_degrader("haze", sources=sources), load_degrader("haze")
    assert by_model.identity != usual.identity
    plan, _ = by_model.plan(PHOTO, 2.0, np.random.default_rng(0))
    assert np.array_equal(plan.depth, depth)


def test_a_larger_inverse_depth_is_nearer(depth_folder: Path) -> None:
    estimator = TransformersDepth(depth_folder)
    from PIL import Image

    inverse = estimator.pipeline(Image.fromarray(PHOTO))["predicted_depth"].numpy().squeeze()
    far = estimator.depth(PHOTO, RNG)
    assert np.corrcoef(inverse.ravel(), far.ravel())[0, 1] < -0.9


def test_a_metric_checkpoint_of_depth_anything_says_what_is_far(tmp_path: Path) -> None:
    from PIL import Image
    from transformers import (
        DepthAnythingConfig,
        DepthAnythingForDepthEstimation,
        Dinov2Config,
        DPTImageProcessor,
    )

    torch.manual_seed(0)
    backbone = Dinov2Config(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        mlp_ratio=1,
        image_size=56,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
        apply_layernorm=True,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=16,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        head_hidden_size=8,
        depth_estimation_type="metric",
        max_depth=20,
    )
    model = DepthAnythingForDepthEstimation(config)
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.mul_(3)
    model.save_pretrained(tmp_path)
    DPTImageProcessor(size={"height": 56, "width": 56}).save_pretrained(tmp_path)
    estimator = TransformersDepth(tmp_path)
    metres = estimator.pipeline(Image.fromarray(PHOTO))["predicted_depth"].numpy().squeeze()
    far = estimator.depth(PHOTO, RNG)
    assert np.corrcoef(metres.ravel(), far.ravel())[0, 1] > 0.9


def test_segments_come_from_a_semantic_model(segment_folder: Path) -> None:
    labels = TransformersSegments(segment_folder).segments(PHOTO, RNG)
    assert labels.shape == PHOTO.shape[:2]
    assert labels.dtype == np.int32
    assert len(np.unique(labels)) > 1

    sources = load_sources(segments=f"transformers:{segment_folder}")
    assert load_degrader("noise", sources=sources).identity != load_degrader("noise").identity


def test_segments_come_from_a_mask_generator(mask_folder: Path) -> None:
    # A random model is sure of nothing, so all limits are taken off.
    estimator = TransformersSegments(
        mask_folder, pred_iou_thresh=-1e3, stability_score_thresh=-1.0, points_per_crop=4
    )
    labels = estimator.segments(PHOTO, RNG)
    assert labels.shape == PHOTO.shape[:2]
    assert labels.max() >= 1
    none = TransformersSegments(mask_folder, points_per_crop=4).segments(PHOTO, RNG)
    assert none.shape == PHOTO.shape[:2]


def test_unusable_models_are_refused_in_words(tmp_path: Path, segment_folder: Path) -> None:
    with pytest.raises(UserError, match="no known estimator"):
        load_sources(depth="midas")
    with pytest.raises(UserError, match=r"no config\.json"):
        load_sources(segments=f"transformers:{tmp_path}")
    with pytest.raises(UserError, match="cannot be used for depth"):
        TransformersDepth(segment_folder).depth(PHOTO, RNG)
