"""The file formats of a report, one per module; `report_files.py` lists those that are written."""
