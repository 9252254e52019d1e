"""What a GPU can do at best."""

import torch

PEAK_TFLOPS = {"H100": 989.4, "H200": 989.4, "H800": 989.4, "A100": 312.0, "L40S": 362.0}
"""Dense bf16 peaks of NVIDIA's data sheets (SXM where there are several), in TFLOP/s."""


def gpu_peak() -> float | None:
    """Peak TFLOP/s of this machine's GPU, None when there is none or it is not in the table."""
    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    return next((peak for key, peak in PEAK_TFLOPS.items() if key in name), None)
