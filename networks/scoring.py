"""The benchmark's score of one image, and the name that a score has earned.

RS = severity(restored) - severity(degraded), LPS = consistency distance between the two images;
FS = 0.2 * (1 - LPS) * RS (RealRestorer, arXiv 2603.25502, section on RealIR-Bench).
"""

from networks.consistency.published import LPIPS_IDENTITY
from networks.interfaces import Identity

FS, PROXY_FS = "fs", "proxy_fs"


def product(lps: float, rs: float) -> float:
    """0.2 * (1 - LPS) * RS, signed.

    Beyond a distance of 1, which LPIPS reaches on images that have nothing in common any more, it
    is never above 0: there the two factors of a harmed image would both be negative, and the
    product a merit.
    """
    return 0.2 * (1.0 - lps) * (abs(rs) if lps > 1.0 else rs)


def score_name(judge: Identity, consistency: Identity) -> str:
    """`fs` only for the benchmark's own judge with LPIPS of the published weights, else `proxy_fs`.

    The judge is Qwen3-VL-8B-Instruct here or on a server; a server does not tell its weights, so
    there the model's name stands for them.
    """
    true_judge = (
        judge.name in ("qwen3-vl", "openai")
        and judge.version.rpartition("/")[2].lower() == "qwen3-vl-8b-instruct"
        and judge.trained
    )
    return FS if true_judge and consistency == LPIPS_IDENTITY else PROXY_FS
