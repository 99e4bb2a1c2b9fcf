"""What a run ships: a folder with weights, tokenizer, population, router state and provenance.

- `bundle` writes such a folder (`write_bundle`, called by `run.closing`) and opens it again (`open_bundle`, called by
  `cli.eval` and `experiments.probe`).
- `ancestry` knows the runs whose weights a bundle's own run went on with (`run`, which writes them down, and `gate`).
- `contexts` puts questions under the contexts of a run, without its weights (`open_contexts`, called by `cli.contexts`
  and by whoever asks a model through other software).
- `soft`: the rows of soft contexts in a bundle, tied to its embedding.
- `digest` names the bytes of a bundle by one digest (`registry`, `gate`), and refuses files of different runs.
- `released`: the names of a registry's versions, which model cards read too.
- `settings`: the settings of this package.

A bundle holds safetensors and JSON only: loading it runs no code. Opening needs no training code.
"""
