"""`report.html`: pytest-html's file with its own head.

The head works without scripts, and everything that was found is in it. pytest-html's table below is an index of the
findings only; with a row for each pass a large fleet's report would take a browser half a minute to draw.
"""
