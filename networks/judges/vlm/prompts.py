"""What the model is asked, word for word, by name.

The texts are a measuring instrument: a changed word is another judge. They are those of
RealRestorer's evaluator for RealIR-Bench: "released" as in its evaluate_fs.py, "paper" the longer
form with a grid and shares of area. A test pins both.
"""

import hashlib
from collections.abc import Callable

from catalog.degradations import Degradation
from networks.judges.vlm.protocol import PROTOCOL
from networks.names import unknown

SYSTEM = "You are a helpful assistant."


def _released(task: str) -> str:
    return (
        f"Evaluate ONLY whether the image exhibits the degradation type “{task}” and how severe "
        "it is. Ignore any quality aspects unrelated to this degradation and any semantic "
        f"content.\nMethod: Divide the image into regions. Inspect each region for “{task}”, "
        "estimate the proportion of affected area and its severity, then aggregate to a SINGLE "
        "INTEGER score. Do NOT output your reasoning.\nScale (integers 1-5):\n"
        f"5 = No “{task}”\n4 = Mild degradation\n3 = Moderate degradation\n"
        "2 = Severe degradation\n1 = Extreme degradation\n"
        "Output: Return ONLY “退化分数：<1-5>”. Example: 退化分数：4"
    )


def _paper(task: str) -> str:
    return (
        f"Evaluate ONLY whether the image exhibits the degradation type “{task}” and how severe "
        "it is. Ignore any quality aspects unrelated to this degradation and any semantic "
        "content.\nMethod: Divide the image into regions (e.g., a 3×3 grid). Inspect each region "
        f"for “{task}”, estimate the proportion of affected area and its severity, then aggregate "
        "to a SINGLE INTEGER score. If the distribution is uneven, weight by region area. For "
        "borderline cases, choose the nearest level. Do NOT output your reasoning.\n"
        f"Scale (integers 1–5):\n5 = No “{task}”\n"
        "4 = Mild, small/localized presence (≈≤20% of areas)\n"
        "3 = Moderate, noticeable across multiple areas (≈20–50%)\n"
        "2 = Severe, large portion clearly affected (≈50–80%)\n"
        "1 = Extreme, nearly the entire image (≈>80%)\n"
        "Output: Return ONLY “退化分数：<1-5>”. No extra text, symbols, or line breaks, within 10 "
        "words. Example: 退化分数：4"
    )


PROMPTS: dict[str, Callable[[str], str]] = {"released": _released, "paper": _paper}


def question(name: str, degradation: Degradation) -> str:
    """The text of prompt `name` about `degradation`. Raises `UserError` for an unknown name."""
    if name not in PROMPTS:
        raise unknown("judge's prompt", name, PROMPTS)
    return PROMPTS[name](degradation.value)


def prompt_hash(name: str) -> str:
    """SHA-256 over the protocol, the system text and the question about every degradation."""
    texts = [PROTOCOL, SYSTEM, *(question(name, degradation) for degradation in Degradation)]
    return hashlib.sha256("\x00".join(texts).encode()).hexdigest()
