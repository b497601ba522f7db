"""Edits of networks beyond shifts of the stream: by what was just read, and of what heads write."""
