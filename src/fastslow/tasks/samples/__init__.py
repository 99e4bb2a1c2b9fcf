"""Small samples of the paper's data sets that are not shipped: own problems of the same kind.

- `polaris`: mathematics. `physics`: multiple choice and numbers. `hover`: claims with the pages that support them.
"""
