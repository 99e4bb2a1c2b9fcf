"""The answers of `questions` as Markdown, CSV, an HTML page or a picture.

- `tables`, `control_tables`, `stream_tables`, `label_tables`, `alternative_tables`: every table as plain text in cells.
- `formats`: how numbers are written.
- `markdown`, `csv_rows`: text and rows. `charts` and `page`: one HTML file that opens offline; `png`: its picture.
- `safe`: hostile text on a page.
"""
