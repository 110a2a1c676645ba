"""`tidemill lab`: JupyterLab or marimo with notebooks that run as they are (docs/notebooks.md).

It is a server of its own, on a port, an origin and a token of its own: what a notebook shows can do
whatever its page may, so it must never be a page of the app.
"""
