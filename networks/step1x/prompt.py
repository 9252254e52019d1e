"""The conversation that the text encoder reads: a fixed preamble, the degraded image, the order.

The preamble is part of the released model (Step1X-Edit, Apache-2.0): its 217 tokens are dropped by
position, so another wording would shift everything.
"""

from collections.abc import Callable
from typing import Any

PREAMBLE = (
    'Given a user prompt, generate an "Enhanced prompt" that provides detailed visual descriptions '
    "suitable for image generation. Evaluate the level of detail in the user prompt:\n"
    "- If the prompt is simple, focus on adding specifics about colors, shapes, sizes, textures, "
    "and spatial relationships to create vivid and concrete scenes.\n"
    "- If the prompt is already detailed, refine and enhance the existing details slightly without "
    "overcomplicating.\n\n"
    "Here are examples of how to transform or refine prompts:\n"
    "- User Prompt: A cat sleeping -> Enhanced: A small, fluffy white cat curled up in a round "
    "shape, sleeping peacefully on a warm sunny windowsill, surrounded by pots of blooming red "
    "flowers.\n"
    "- User Prompt: A busy city street -> Enhanced: A bustling city street scene at dusk, "
    "featuring glowing street lamps, a diverse crowd of people in colorful clothing, and a "
    "double-decker bus passing by towering glass skyscrapers.\n\n"
    "Please generate only the enhanced description for the prompt below and avoid including any "
    "additional commentary or evaluations:\nUser Prompt:"
)

_FIRST_QUOTE = 155
"""Quotes up to here belong to the preamble and are ordinary text."""


def messages(instruction: str) -> list[dict[str, Any]]:
    """The conversation about one image, for a chat template."""
    content = [
        {"type": "text", "text": PREAMBLE},
        {"type": "image"},
        {"type": "text", "text": instruction},
    ]
    return [{"role": "user", "content": content}]


def pieces(text: str) -> list[tuple[str, bool]]:
    """(part, whether it is one quoted character): what is quoted is read a character at a time.

    As released: all kinds of quotes, apostrophes too, count as the double quote; the quotes
    themselves stay with the text before them.
    """
    for quote in "'“”":
        text = text.replace(quote, '"')
    parts: list[tuple[str, bool]] = []
    plain, quoted = "", False
    for place, character in enumerate(text):
        if character == '"' and place > _FIRST_QUOTE:
            plain += character
            if not quoted:
                parts.append((plain, False))
                plain = ""
            quoted = not quoted
        elif quoted:
            parts.append((character, True))
        else:
            plain += character
    return [*parts, (plain, False)] if plain else parts


def token_ids(text: str, tokenize: Callable[[str], list[int]]) -> list[int]:
    """Ids of the whole conversation, quoted characters apart.

    A quoted character is tokenized between typographic quotes, whose own ids then go: so its id is
    that of a character inside a text, not at its start.
    """
    opening, closing = tokenize("“"), tokenize("”")
    ids: list[int] = []
    for part, quoted in pieces(text):
        found = tokenize(f"“{part}”" if quoted else part)
        around = found[: len(opening)] == opening and found[-len(closing) :] == closing
        ids += found[len(opening) : -len(closing)] if quoted and around else found
    return ids
