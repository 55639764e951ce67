"""The packaged advisories: data, its schema, and how a file is read."""
