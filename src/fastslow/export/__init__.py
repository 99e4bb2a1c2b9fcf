"""A bundle as a folder that stock servers load: weights, tokenizer, and a chat template that holds the contexts.

- `template`: puts the contexts of a population before a model's own chat template.
- `equality`: renders questions through both, and refuses a template that gives other token ids than ours.
- `soft`: the rows of soft contexts as tokens of the tokenizer and rows of the embedding.
- `choice`: which contexts are exported, and which is the default: what was gated.
- `release`: what a server needs of a bundle or an export besides weights: contexts, topics, version; contexts.json.
- `card`: the model card: how the model was made (`origin`), how often it is right (`figures`: the verdict of the gate,
  if there is one) and what nobody tested. `markdown` puts texts of files into it as code.
- `folder`: writes the folder: weights merged or as adapters, generation config, template, contexts.json, card.
- `ollama`: the same contexts as a Modelfile.

`cli.export` calls `folder.export_bundle`; `serving` opens a release and starts servers on such folders.
"""
