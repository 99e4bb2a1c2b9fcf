"""Reports: pure functions of run directories, also of unfinished and damaged ones.

reading/values.py    what a file may hold in the place of a number or a name
reading/rows.py      rows of its files with typed fields
reading/data.py      what a run directory says, with a notice for everything it does not say
reading/sources.py   which runs belong together: those given one by one, or the cells of a comparison.json

questions/, one a file:
compare.py     the arms (modes, or cells of a sweep) side by side: efficiency on the axes, ceilings
continual.py, plasticity.py, costs.py, lineage.py, routes.py, examples.py   one question each
series.py      curves over seeds, with intervals
verdict.py     did it pay? one sentence and three numbers

pages/:
tables.py      every table as plain text in cells
formats.py     how numbers are written
markdown.py, csv_rows.py, charts.py with page.py, png.py    all of it as text, rows, one HTML file, a picture
"""
