"""A thin proxy in OpenAI's form: it puts a context before each question and passes the rest on.

- `errors`: refusals, as OpenAI's API words them.
- `requests`: reads a request, and refuses what names files, runs code or is out of all proportion.
- `schemas`: refuses schemas and grammars that lead out of themselves.
- `choose`: the context of a request: the lead, or the one that its question asks for.
- `upstream`: the server behind: one request, its answer or its stream, its failures.
- `events`: cuts a stream into whole events.
- `stopping`: ends what is on its way once the server is told to stop.
- `relay`: one answer on its way: through to the client, ended when either side leaves.
- `meters`: counts for Prometheus, and a log without texts.
- `shadow`: asks a second version the same, and records whether it agrees.
- `app`: the routes, and who may call them.
- `child`: starts `transformers serve` on an exported folder, and stops it.
- `protocol`: HTTP, with limits on clients that are slow or too many.
- `server`: a socket and signals; from settings to a server that runs.

A request passes them in this order. `cli.serve` makes the settings of `server`. Nothing here loads a model.
"""
