"""Reflection LMs: language models that read rollouts and answer a proposer with text.

- `endpoint`: the protocol `ReflectionLM`, and any OpenAI-compatible server.
- `costs`: what the calls have cost, and the ceiling on tokens and money.
- `http`: the client for a server, with the proxies of the environment.
- `local`: a transformers model in this process.
- `dialects`: what the many servers that call themselves OpenAI-compatible refuse and return.
- `journal`: the replies of an endpoint on disk, so that a resumed run makes no paid call twice.

`run.assemble` makes one of them; `proposers.reflection` asks it. A reply is untrusted text.
"""
