"""How Sphinx builds the site from the pages beside this file: `make docs`."""

project = "nested-kvm-compliance"
author = "The contributors of nested-kvm-compliance"
extensions = ["myst_parser"]
myst_heading_anchors = 4
nitpicky = True
suppress_warnings = ["myst.header"]  # a page may go from its title to a third level

html_theme = "furo"
html_title = "nested-kvm-compliance"
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # it fetches pages, which a browser refuses for a site in a folder
html_show_copyright = False
smartquotes = False  # a quote in a sentence may belong to a command that is copied
