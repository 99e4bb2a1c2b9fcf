"""Small samples of the paper's data sets that are not shipped: problems of our own of the same kind.

- `polaris`: mathematics. `physics`: questions with four options. `hover`: claims with the pages that support them.
"""
