"""What is served is what was measured: answers over HTTP against `fastslow eval`, and the proxy's own time.

    python scripts/serve_check.py results/serving.json                            some ten minutes on two cores
    python scripts/serve_check.py results/serving.json --vllm PYTHON              also through vLLM, which PYTHON has

Answers: SmolLM2-135M with a little noise on its weights, so that serving the base would show, under a context with
worked examples, on 100 questions, greedily and in float32: once as `fastslow eval` samples, once over HTTP through
`fastslow serve` before `transformers serve` (and vLLM) on the exported folder, and once without the proxy, by the
exported chat template alone. Time: medians of requests one after another to a server that answers at once, with and
without the proxy before it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests/support

import httpx
import openai
import torch
from tests.support.recording import greedy_answers
from tests.support.runs import WORDINGS
from tests.support.shipped import CONTEXTS, SETTINGS, asked, make_bundle, topics_of
from tests.support.stub_upstream import stub_upstream

from fastslow.bundles.bundle import write_bundle
from fastslow.contexts.context import EXAMPLES, INSTRUCTION, Context, WorkedExample, dump_examples
from fastslow.contexts.population import Population
from fastslow.core.types import Example
from fastslow.export.folder import ExportSettings, export_bundle
from fastslow.export.release import open_release
from fastslow.files.run_directory import machine, versions
from fastslow.policy.loading import load_model, load_tokenizer, resolve_model
from fastslow.policy.pairing import make_fit
from fastslow.streams.labels import Labels
from fastslow.topics.topics import Topics

ROOT = Path(__file__).parents[1]
TASK = "reasoning_gym:chain_sum?min_terms=2&max_terms=2&min_digits=1&max_digits=2"
TOKENS = 24


def smollm2_bundle(folder: Path) -> Path:
    """Write a bundle of SmolLM2 with noise of a hundredth of each matrix's spread."""
    source = resolve_model("smollm2-135m")
    model, tokenizer = load_model(source), load_tokenizer(source)
    make_fit(model, tokenizer)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim == 2:
                weights += 0.01 * weights.std() * torch.randn(weights.shape, generator=random)
    worked = [WorkedExample("State the final answer to the following arithmetic problem: 3 + 4 =", "7")]
    contexts = [
        Context({INSTRUCTION: "Answer with the number and nothing else.", EXAMPLES: dump_examples(worked)}),
        Context({INSTRUCTION: "", EXAMPLES: ""}),
    ]
    path = folder / "bundle"
    write_bundle(
        path, model=model, tokenizer=tokenizer, router={}, base_name="smollm2-135m",
        population=Population(2, contexts[1], contexts, {context.id: context for context in contexts}),
        topics=Topics(labels=Labels("visible", tasks=[], seed=0), stream=None),
    )  # fmt: skip
    sizes = {"train_size": 50, "validation_size": 10, "test_size": 100, "max_completion_length": TOKENS}
    settings = {**SETTINGS, **sizes, "model": "smollm2-135m", "task": TASK}
    (path / "bundle.json").write_text(json.dumps({"settings": settings}), encoding="utf-8")
    return path


@contextlib.contextmanager
def process(command: list[str], up: Callable[[str], str | None], **environment: str) -> Iterator[str]:
    """Start a server; yields what `up` finds in a line of its output. Ends it with SIGTERM."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *sys.path]), **environment}
    server = subprocess.Popen(command, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True, env=env)
    assert server.stdout is not None
    lines: list[str] = []
    try:
        for line in server.stdout:
            lines.append(line)
            found = up(line)
            if found is not None:
                break
        else:
            raise RuntimeError("".join(lines[-20:]))
        with ThreadPoolExecutor(1) as pool:
            pool.submit(server.stdout.read)  # a full pipe would stop the server
            try:
                yield found
            finally:
                server.send_signal(signal.SIGTERM)
                server.wait(60)
    finally:
        server.kill()


def serving(folder: Path, *flags: str) -> contextlib.AbstractContextManager[str]:
    """Start `fastslow serve`; yields its URL."""
    command = [sys.executable, "-m", "fastslow", "serve", str(folder), "--port", "0", "--name", "ours", *flags]
    return process(command, lambda line: line.split(" ", 1)[0] if " serves " in line else None)


def vllm(python: str, folder: Path, port: int) -> contextlib.AbstractContextManager[str]:
    """Start vLLM on an exported folder; yields its URL."""
    command = [
        python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--host", "127.0.0.1", "--port",
        str(port), "--served-model-name", "theirs", "--dtype", "float32", "--max-model-len", "1024", "--max-num-seqs",
        "8", "--enforce-eager",
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}/v1"
    return process(
        command, lambda line: url if "startup complete" in line else None, PYTHONPATH="", OMP_NUM_THREADS="1",
        VLLM_CPU_KVCACHE_SPACE="1", VLLM_CPU_OMP_THREADS_BIND="nobind", HF_HUB_OFFLINE="1",
    )  # fmt: skip


def same(url: str, model: str, ours: list[tuple[Example, str]]) -> dict[str, Any]:
    """Ask every question over HTTP; return how many answers are those of the evaluation, and the first that is not."""
    client, began = openai.OpenAI(base_url=url, api_key="unused", timeout=600, max_retries=0), time.perf_counter()
    equal, different = 0, None
    for example, text in ours:
        turns: Any = [dict(message) for message in example.messages]
        answer = client.chat.completions.create(model=model, messages=turns, temperature=0, max_tokens=TOKENS)
        got = answer.choices[0].message.content
        equal += got == text
        different = different or (None if got == text else {"question": example.question, "eval": text, "served": got})
    seconds = time.perf_counter() - began
    return {"equal": equal, "of": len(ours), "seconds": round(seconds, 1), "first_difference": different}


def answers(folder: Path, python: str | None) -> dict[str, Any]:
    """Compare answers through every server."""
    bundle = smollm2_bundle(folder)
    ours = greedy_answers(bundle, tokens=TOKENS)
    export_bundle(bundle, folder / "model", ExportSettings())
    results = {}
    with serving(folder / "model", "--device", "cpu") as url:
        results["fastslow serve before transformers serve"] = same(url, "ours", ours)
    print(results, flush=True)
    if python is not None:
        with vllm(python, folder / "model", 8131) as url:
            results["vllm, by the exported template"] = same(url, "theirs", ours)
            with serving(folder / "model", "--upstream", url, "--upstream_model", "theirs") as proxy:
                results["fastslow serve before vllm"] = same(proxy, "ours", ours)
    return results


def listener_of(port: int) -> int:
    """Return the process that listens on a port of this machine."""
    inode = next(
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
    )
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(entry) == f"socket:[{inode}]":
                return int(entry.parts[2])
        except OSError:
            continue
    raise RuntimeError(f"nobody listens on port {port}")


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def seconds_of(url: str, bodies: list[dict[str, Any]]) -> list[float]:
    """Return how long each request takes, one after another over one connection."""
    taken = []
    with httpx.Client(trust_env=False) as client:
        for body in [bodies[0], *bodies]:
            began = time.perf_counter()
            client.post(f"{url}/chat/completions", json=body).raise_for_status()
            taken.append(time.perf_counter() - began)
    return taken[1:]


def times(folder: Path) -> dict[str, Any]:
    """Measure what the proxy adds, per way of choosing; every question is new, so that no choice is remembered."""
    results: dict[str, Any] = {}
    made = make_bundle(folder, topics=topics_of(CONTEXTS, "minilm"), embedder="minilm")
    release = open_release(made, choosing=True)
    assert release.topics is not None
    texts = [asked(task, number).question for number in range(1000, 1100) for task in WORDINGS]
    bodies: list[dict[str, Any]] = [{"model": "ours", "messages": [{"role": "user", "content": t}]} for t in texts]
    with stub_upstream() as (_, upstream):
        for kind in ("lead", "cluster", "nearest"):
            with serving(made, "--upstream", upstream, "--choose", kind) as url:
                proxy = listener_of(httpx.URL(url).port or 0)
                direct, before = seconds_of(upstream, bodies), processor_seconds(proxy)
                through = seconds_of(url, bodies)
                used = processor_seconds(proxy) - before
            added = statistics.median(through) - statistics.median(direct)
            results[kind] = {
                "direct_median_ms": round(1000 * statistics.median(direct), 2),
                "through_median_ms": round(1000 * statistics.median(through), 2),
                "added_median_ms": round(1000 * added, 2),
                "through_p95_ms": round(1000 * statistics.quantiles(through, n=20)[18], 2),
                "processor_ms_a_request": round(1000 * used / (len(bodies) + 1), 2),
                "requests": len(bodies),
            }
            print(kind, results[kind], flush=True)
        right = 0
        clustering = serving(made, "--upstream", upstream, "--choose", "cluster")
        with clustering as url, httpx.Client(trust_env=False) as client:
            for number in range(100):
                example = asked(list(WORDINGS)[number % 3], 2000 + number)
                body = {"model": "ours", "messages": [{"role": "user", "content": example.question}]}
                served = client.post(f"{url}/chat/completions", json=body).headers["x-fastslow-context"]
                right += served == release.topics.choose("cluster", release.population, example).id
    results["context_as_the_learner_chooses"] = {"equal": right, "of": 100}
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--vllm", metavar="PYTHON", help="a Python that has vLLM")
    parser.add_argument("--only", choices=["answers", "times"])
    options = parser.parse_args()
    parts: dict[str, Callable[[Path], dict[str, Any]]] = {
        "times": times, "answers": lambda folder: answers(folder, options.vllm)
    }  # fmt: skip
    results = json.loads(options.output.read_text()) if options.output.exists() else {}
    for name, part in parts.items():
        if options.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                results[name] = part(Path(folder))
            results |= {"machine": machine(), "versions": versions()}
            options.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
