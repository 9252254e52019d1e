"""Judges that ask a vision-language model: Qwen3-VL here, or any OpenAI-compatible server."""
