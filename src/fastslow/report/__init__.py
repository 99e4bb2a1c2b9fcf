"""Reports: pure functions of run directories, also of unfinished and damaged ones.

data.py      what a run directory says, with a notice for everything it does not say
compare.py   the arms (modes) side by side: efficiency on five axes, ceilings, KL at like accuracy
markdown.py  all of it as text
"""
