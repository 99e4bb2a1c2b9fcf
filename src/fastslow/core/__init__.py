"""The words that every other package uses. Imports nothing else of fastslow.

- `types`: what travels from task to router (`Example`, `Rollout`, `Verdict`, `GroupEvidence`, `Route`), and the legend
  of the axis suffixes. `measurement`: what an evaluation finds, with every answer.
- `errors`: the exceptions that a caller may meet. `extras`: how an optional part is installed.
- `registry`: names to factories, with dotted paths to the user's own; used by tasks, routers, streams, proposers,
  embedders and scorers.
- `foreign`: the one way into code of the user's, which may raise, print and change anything.
- `thoughts`: where the thoughts of a reasoning model end.
- `texts`: the normal form in which questions are compared; durations in words.
- `seeding`: seeds derived from the run's seed and a purpose.
- `modes`: what each mode trains and ships, as data.
- `settings`: what a field of settings says of itself (help, unit, bounds, choices), and the one checker of it.
- `processes`: which of several processes this is, and what they exchange. `peers`: notices that one of them has ended.
- `paths`: absolute paths of what a run names, and where it is after a move.
- `hosts`: whether a URL stays on this machine.
- `proxies`: the proxies that the environment asks for, by the names of their variables.
- `machine`: the memory of this machine, and errors that mean that it is used up.
"""
