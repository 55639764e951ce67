"""`report.html`: pytest-html's file with an opening of its own.

The opening is whole without scripts: everything that was found is in it. pytest-html's table below is an index of the
findings only; with a row for each pass a large fleet's report would take a browser half a minute to draw.
"""
