"""Crash-safe files.

- `atomic`: replaces files and folders as a whole. `locks`: one writer at a time. `jsonl`: reads and appends lines.
  `typed`: JSON as a dataclass, every value of the type that its field names.
- `scratch`: folders for a while, which no kill leaves behind for good.
- `plain`: reads files that may come from anybody: no links, devices or pipes, and no more than memory holds.
- `tail`: the new lines of a file that another process appends to.
- `run_directory`: the files of one run, and what it says of machine and versions.
- `nested_state`: nested Python state as JSON and tensors. `tensors`: tensors as safetensors, hashed while written.
- `manifest`: folders sealed with the SHA-256 of each file, verified before anything is read. `sealed`: checkpoint
  folders, complete and verified in this way, or refused.
- `snapshot`: what a checkpoint holds: parts of a run by name, each with `state_dict`, and the weights.
- `background`: writes a checkpoint beside training, and bounds the time that training waits for it.
- `second_place`: a copy of a run at a URL.
- `settings`: the settings of this package.

`run` decides when a checkpoint is written, and its parts decide what it holds; this package knows only how.
"""
