"""Task families, one a file; each registers itself in `TASKS`, and `tasks.resolve` imports them all.

- `reasoning_gym`: the generators of reasoning-gym, behind `screen`, which keeps hostile completions from its scorers.
- `star_graph`: drawn graphs. `codeio`: recorded programs. `hover`: claims over a knowledge base, by `retrieval`.
- `rows`: tasks from rows of data; `reader` checks each row by its columns (`columns` says how to name them), and
  `faults` collects those that cannot be used; `sources` reads the rows of a file, a folder or the hub,
  `csv_files` those of CSV files.
- `streamed`: a data set larger than memory, read row by row; `row_files` reads its files.
- `jsonl`, `hf`: the user's own data. `polaris`, `physics`: the paper's data, or the samples in `tasks.samples`.
"""
