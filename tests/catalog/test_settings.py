"""params.yaml: complete, strict, and clear when it is wrong."""

import re
from pathlib import Path

import pytest
import yaml

from catalog.errors import UserError
from catalog.settings import load_params, parse_params

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "profile", sorted((ROOT / "profiles").glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_profile_is_valid_and_carries_its_name(profile: Path) -> None:
    assert load_params(profile).profile == profile.stem


def _with(**changes: object) -> str:
    content = yaml.safe_load((ROOT / "profiles/embedded.yaml").read_text())
    for key, value in changes.items():
        section, name = key.split("__")
        content[section] = {**content[section], name: value}
    return yaml.safe_dump(content)


def test_an_unknown_key_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(
        UserError, match=re.escape("embed.embeder is not a setting; did you mean embedder?")
    ):
        parse_params(_with(embed__embeder="x"), "params.yaml")


def test_a_wrong_type_names_the_key_and_the_value() -> None:
    with pytest.raises(UserError, match=r"synthesize\.seed: .*whole number.* \(given: 'seven'\)"):
        parse_params(_with(synthesize__seed="seven"), "params.yaml")


@pytest.mark.parametrize(
    ("betas", "said"),
    [([0.9, 1.0], "betas.1: .*less than 1"), ([-0.1, 0.9], "betas.0: .*greater than or equal")],
)
def test_decays_that_adamw_refuses_are_named(betas: list[float], said: str) -> None:
    with pytest.raises(UserError, match=rf"transfer\.{said}"):
        parse_params(_with(transfer__betas=betas), "params.yaml")


def test_broken_yaml_and_a_missing_file_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not YAML"):
        parse_params("a: [", "params.yaml")
    with pytest.raises(UserError, match="mendline profile embedded"):
        load_params(tmp_path / "params.yaml")


def test_a_missing_section_is_named_and_the_rest_is_not_repeated(tmp_path: Path) -> None:
    text = (ROOT / "profiles/embedded.yaml").read_text().replace("\nhash:", "\nhsh:")
    with pytest.raises(UserError, match="hsh is not a setting; did you mean hash") as caught:
        parse_params(text, "params.yaml")
    assert "hash is missing." in caught.value.what
    assert len(caught.value.what) < 200


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"params\.yaml cannot be read"):
        load_params(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match=r"params\.yaml cannot be read"):
        load_params(path)


def test_settings_are_frozen() -> None:
    params = load_params(ROOT / "profiles/embedded.yaml")
    with pytest.raises(ValueError, match="frozen"):
        params.profile = "other"  # type: ignore[misc]
