"""A small server on loopback that speaks vLLM's HTTP dialect and samples with a real model; it misbehaves on demand."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from fastslow.policy.engines.base import Prompt, SamplingParams
from fastslow.policy.engines.transformers import PrefixSampler

BLOCK = 16
"""Tokens of a block of the prefix cache: whole blocks of a prompt are kept."""

DEV = ("/weight_info", "/update_weight_version", "/collective_rpc", "/reset_prefix_cache", "/server_info")
"""Endpoints that development mode adds."""


LOADING = threading.Lock()
"""transformers replaces methods of its classes while it loads: two threads that load at once leave them replaced, and
models loaded later are not tied."""


def load(folder: Path | str) -> Any:
    """Return the model in a folder, in fp32."""
    with LOADING:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


class VllmServer:
    """`with VllmServer(folder) as server: ... server.url, server.asked`.

    `faults` misbehave as vLLM was seen to, each behind status 200: 'no_reset' keeps the prefix cache when told to drop
    it, 'tied' keeps the old head on a reload, 'stale' keeps all old weights. Without `dev` it is not in development
    mode, without `adapters` it takes none. `settings` are what it says that it was started with.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        faults: tuple[str, ...] = (),
        dev: bool = True,
        adapters: bool = True,
        window: int = 4096,
        settings: dict[str, Any] | None = None,
        port: int = 0,
    ):
        self.folder, self.faults, self.dev, self.adapters, self.window = (
            Path(folder),
            set(faults),
            dev,
            adapters,
            window,
        )
        self.settings = {"logprobs_mode": "processed_logprobs", "dtype": "torch.float32", **(settings or {})}
        self.asked: list[dict[str, Any]] = []
        """Bodies of the completions asked for, in the order of their arrival."""
        self.pushes: list[str] = []
        """Folders of the weights that were read."""
        self.on_completion: Callable[[int], None] = lambda count: None
        """Called before each completion with the number of those before."""
        self.crashed = False
        self._lock = threading.Lock()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.start_over()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> VllmServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.die()

    def start_over(self) -> None:
        """Be as after a restart: the weights of the folder, an empty cache, and vLLM's own label of the weights."""
        self.label = "default"
        self._model = load(self.folder)
        self._adapted: dict[str, PrefixSampler] = {}
        self._base = self._sampler(self._model)
        self._blocks: set[tuple[Any, ...]] = set()

    def crash(self) -> None:
        """Stop answering at once, on connections that are open too, as a killed server does."""
        self.crashed = True
        self._server.socket.close()

    def die(self) -> None:
        """Stop once what was asked has been answered."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _sampler(self, model: Any) -> PrefixSampler:
        sampler = PrefixSampler(model, eos_ids=[-1], pad_id=0, dtype=torch.float32)
        sampler.refresh(0)
        return sampler

    # What each endpoint does: (path, body) -> (status, answer)

    def get(self, path: str) -> tuple[int, Any]:
        if path == "/version":
            return 200, {"version": "0.32.0-fake"}
        if path == "/v1/models":
            own = {"id": "policy", "root": str(self.folder), "max_model_len": self.window, "parent": None}
            adapted = [{"id": name, "root": "", "parent": "policy"} for name in self._adapted]
            return 200, {"object": "list", "data": [own, *adapted]}
        if path == "/weight_info" and self.dev:
            return 200, {"weight_version": self.label}
        if path == "/server_info" and self.dev:
            return 200, {"vllm_config": {"model_config": self.settings}}
        takes_posts = path in POSTS and (self.dev or path not in DEV) and (self.adapters or "lora" not in path)
        return (405 if takes_posts else 404), {"detail": "Method Not Allowed" if takes_posts else "Not Found"}

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if self.get(path)[0] == 404:
            return 404, {"detail": "Not Found"}
        return POSTS[path](self, body)

    def tokenize(self, body: dict[str, Any]) -> tuple[int, Any]:
        return 200, {"tokens": self.tokenizer(body["prompt"], add_special_tokens=False)["input_ids"]}

    def rpc(self, body: dict[str, Any]) -> tuple[int, Any]:
        folder = body["kwargs"]["weights_path"]
        if body["method"] != "reload_weights" or not Path(folder, "config.json").exists():
            return 500, {"error": {"message": f"no weights in {folder}"}}
        self.pushes.append(folder)
        new = load(folder).state_dict()
        with torch.no_grad():
            for name, weight in self._model.state_dict().items():
                if "stale" not in self.faults and not ("tied" in self.faults and name == "lm_head.weight"):
                    weight.copy_(new[name])
        return 200, {"results": [None]}

    def reset(self, body: dict[str, Any]) -> tuple[int, Any]:
        if "no_reset" not in self.faults:
            self._blocks.clear()
            for sampler in [self._base, *self._adapted.values()]:
                sampler.forget()
        return 200, {"success": True}

    def relabel(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.label = body["new_version"]
        return 200, {"success": True, "new_version": self.label}

    def adapter(self, body: dict[str, Any]) -> tuple[int, Any]:
        if not body.get("load_inplace") and body["lora_name"] in self._adapted:
            return 400, {"error": {"message": "already loaded"}}
        self.pushes.append(body["lora_path"])
        with LOADING:
            model: Any = PeftModel.from_pretrained(copy.deepcopy(self._model), body["lora_path"]).eval()
        self._adapted[body["lora_name"]] = self._sampler(model)
        return 200, "Success"

    def complete(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.on_completion(len(self.asked))
        self.asked.append(body)
        ids, stop = tuple(body["prompt"]), body["stop_token_ids"]
        if len(ids) + body["max_tokens"] > self.window:
            return 400, {"error": {"message": f"maximum context length is {self.window}"}}
        sampler = self._adapted.get(body["model"], self._base)
        sampler._eos = torch.tensor(stop)
        params = SamplingParams(
            body["max_tokens"], body["temperature"], body["top_p"], body["top_k"], body["min_p"] or None,
            body["repetition_penalty"],
        )  # fmt: skip
        whole = (len(ids) - 1) // BLOCK * BLOCK
        blocks = [(body["model"], ids[:end]) for end in range(BLOCK, whole + 1, BLOCK)]
        cached = BLOCK * sum(block in self._blocks for block in blocks)
        self._blocks.update(blocks)
        [sample] = sampler.sample([Prompt(ids, body["seed"], whole)], params)
        ended = sample.ids[-1] in stop
        choice = {
            "index": 0,
            "text": self.tokenizer.decode(sample.ids[:-1] if ended else sample.ids),
            "finish_reason": "stop" if ended else "length",
            "stop_reason": sample.ids[-1] if ended else None,
            "prompt_token_ids": list(ids),
            "token_ids": list(sample.ids),
            "logprobs": {"token_logprobs": list(sample.logprobs)},
        }
        usage = {
            "prompt_tokens": len(ids),
            "completion_tokens": len(sample.ids),
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        return 200, {"id": "cmpl-0", "object": "text_completion", "choices": [choice], "usage": usage}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                assert dict(parse_qsl(urlsplit(self.path).query)) in ({}, {"config_format": "json"})
                self._send(*server.get(urlsplit(self.path).path))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with server._lock:
                    told = server.post(urlsplit(self.path).path, body)
                self._send(*told)

            def _send(self, status: int, answer: Any) -> None:
                if server.crashed:
                    self.close_connection = True
                    return
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Keep the test output clean."""

        return Handler


POSTS: dict[str, Callable[[VllmServer, dict[str, Any]], tuple[int, Any]]] = {
    "/tokenize": VllmServer.tokenize,
    "/collective_rpc": VllmServer.rpc,
    "/reset_prefix_cache": VllmServer.reset,
    "/update_weight_version": VllmServer.relabel,
    "/v1/load_lora_adapter": VllmServer.adapter,
    "/v1/completions": VllmServer.complete,
}
